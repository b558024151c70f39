"""Cells for the Lagrangian form, placed where a density needs them."""

import numpy as np

from jko.errors import whole_number
from jko.transport.remap import mass_between, merge_empty

_EXPONENT = 0.25
_EVEN = 1.0 / 3.0
_MOST_RUNS = 100
_TAIL = 1e-12
_TAIL_CELLS = 20
_TAIL_SHARE = 0.04


def graded(edges, masses, cells):
    """The same mass between other edges, about `cells` of them, closer where the density is higher.

    Energies of piecewise constant densities err by ∫ h² ρ′²/24ρ dx for an entropy, least when cells are
    about as dense as (ρ′²/ρ)^⅓; here as ρ^¼, a third of them spread evenly. The borders of vacua stay where
    they are, and the masses come from the monotone cubics of `remap`. More than 100 runs of occupied cells
    are left as they are. Raises ValueError for fewer cells than one.
    """
    cells = whole_number("cells", cells)
    held = masses > 0.0
    stops = np.flatnonzero(~held)
    if stops.size >= _MOST_RUNS:
        return edges, masses
    widths = np.where(held, np.diff(edges), 0.0)
    density = np.where(held, masses / np.where(held, widths, 1.0), 0.0)
    wanted = density**_EXPONENT * widths
    wanted = (1.0 - _EVEN) * wanted / wanted.sum() + _EVEN * widths / widths.sum()
    wanted = _thinned(wanted, masses, cells)
    level = np.concatenate([[0.0], np.cumsum(wanted)])
    runs = zip(np.append(0, stops + 1), np.append(stops, masses.size), strict=True)
    new = np.concatenate([_spread(edges, level, first, stop, cells) for first, stop in runs])
    return merge_empty(new, mass_between(edges, masses, new))


def _thinned(wanted, masses, cells):
    """The same, with no more than a few cells for the 1e-12 of the mass at either end."""
    total = masses.sum()
    for tail in (np.cumsum(masses) < _TAIL * total, np.cumsum(masses[::-1])[::-1] < _TAIL * total):
        share = wanted[tail].sum() / wanted.sum()
        most = min(_TAIL_CELLS / cells, _TAIL_SHARE)
        if share > most:
            wanted = np.where(tail, wanted * most / share, wanted)
    return wanted


def _spread(edges, level, first, stop, cells):
    span = level[stop] - level[first]
    number = max(1, round(cells * span / level[-1]))
    targets = level[first] + span * np.linspace(0.0, 1.0, number + 1)
    new = np.interp(targets, level[first : stop + 1], edges[first : stop + 1])
    new[0], new[-1] = edges[first], edges[stop]
    return new
