"""Data moved by whole cells along a periodic axis: each scheme on tori has the same answer, moved."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko.scheme import Scheme

# what a scheme is made with: tolerances far below the test's, since where an iteration stops may depend on
# the order of cells
SETTINGS = {
    "steps.Entropic": {"epsilon": 0.003},  # no more is defined on so short an axis
    "steps.FisherRao": {"length": 1.0},
    "steps.Linearized": {"tolerance": 1e-13},
    "steps.MongeAmpere": {"tolerance": 1e-11},
}
# schemes whose answer moves by more than rounding, and why
OWN = {
    "steps.BackAndForth": (1e-7, "stops where a round of pairs gains little, cells in another order"),
    "steps.Cvxpy": (1e-5, "an interior-point solver stops at 1e-8 of the objective"),
    "steps.Linearized": (1e-7, "stops at the square root of its tolerance"),
    "steps.MongeAmpere": (1e-7, "its preconditioner is in single precision"),
}
ON_THE_LINE = {"steps.Quantile"}  # whose circles have tests of their own
CELLS, TAU = (16, 32), 0.05


def schemes():
    """Those that take tori in the plane and need no other."""
    for name, scheme in sorted(Scheme.known.items()):
        if name in ON_THE_LINE:
            continue
        if scheme.periodic and jko.Density in scheme.measures and scheme.__module__.startswith("jko."):
            try:
                yield name, scheme(**SETTINGS.get(name, {}))
            except TypeError:  # wraps another
                continue


def turned(F, scheme, values, V, axis, cells):
    """The density after two steps from data moved by some cells along an axis, moved back."""
    periodic = tuple(a == axis for a in range(2))
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 2.0), CELLS, periodic=periodic)
    potential = fn.Potential.gridded(np.roll(V, cells, axis), grid.lower, grid.upper)
    mu = jko.Density(grid, np.roll(values, cells, axis))
    run = jko.flow(F + potential, mu, scheme, tau=TAU, n_steps=2, progress=False)
    return np.roll(run.final.values, -cells, axis)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("name", "scheme"), list(schemes()))
def test_data_moved_along_a_torus_move_the_answer(name, scheme, axis):
    """A crowd of one density, where rounding alone tells one cell from the next, or with the entropy; by half
    the axis, which coarser grids follow as well."""
    x, y = ((np.arange(n) + 0.5) / n for n in CELLS)
    V = 0.1 * np.sin(2.0 * np.pi * x)[:, None] + np.cos(2.0 * np.pi * y)
    F = fn.Cap(1.0) if "constraint" in scheme.takes else 0.2 * fn.Entropy()
    ends = [turned(F, scheme, np.full(CELLS, 0.5), V, axis, cells) for cells in (0, CELLS[axis] // 2)]
    assert np.abs(ends[0] - 0.5).max() > 0.02
    assert np.abs(ends[1] - ends[0]).max() < OWN.get(name, (1e-9, ""))[0]
