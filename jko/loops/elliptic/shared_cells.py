"""Loops over cells that several species share: the prox of an energy of each and of all together."""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.elliptic.cell_proxes import _SETTLED, _slope, cell_prox


@njit(cache=True, error_model="numpy")
def shared_prox(wanted, guess, most, room, weights, alone, energies, out):
    """out `[n, S]` ← argmin Σ_i U_i(r_i) + U(Σ r_i) + weight |r − wanted|²/2 over 0 ≤ r ≤ most, Σ r ≤ room.

    `weights` `[n]` of the cells; energies = (T, holes, powers, factors, counts), of each species and, last,
    of all together, as of `cell_prox`. With the pressure q = U′(Σ r), and more where there is no room, r_i is
    the prox of U_i at wanted_i − q/weight: one equation in q, in closed form where no species has an energy
    `alone` nor a bound.
    """
    cells, S = wanted.shape
    order = np.empty(S, np.int64)
    for c in range(cells):
        weight = weights[c]
        if not alone:
            _poured(wanted[c], guess[c], most[c], room, weight, energies, order, out[c])
            continue
        low, high = -np.inf, np.inf
        q = weight * (wanted[c, 0] - guess[c, 0])
        width = weight * (1e-3 * guess[c].sum() + abs(q) / weight + 1e-12)
        for _ in range(200):
            step = _step(q, wanted[c], guess[c], most[c], room, weight, energies, out[c])
            if abs(step) <= _SETTLED * (abs(q) + weight * out[c].sum()):
                break
            if step > 0.0:
                high = q
            else:
                low = q
            new = q - step
            if not (new > low and new < high):
                if low > -np.inf and high < np.inf:
                    new = 0.5 * (low + high)
                else:
                    new = q + (width if step < 0.0 else -width)
                    width *= 4.0
            if new == q:
                break
            q = new


@njit(cache=True, error_model="numpy")
def _step(q, wanted, guess, most, room, weight, energies, out):
    """By how much q is above the pressure, by Newton's method: the lesser of what q = U′(Σ r(q)) and
    Σ r(q) = room ask for, both of which rise with q."""
    T, holes, powers, factors, counts = energies
    S, total, softness = wanted.size, 0.0, 0.0
    for i in range(S):
        at = (T[i], (holes[i, 0], holes[i, 1]), powers[i, : counts[i]], factors[i, : counts[i]])
        out[i] = cell_prox(wanted[i] - q / weight, guess[i], most[i], weight, *at)
        total += out[i]
        if out[i] > 0.0 and out[i] < most[i]:
            softness += 1.0 / _slope(out[i], 0.0, weight, *at)[1]
    at = (T[S], (holes[S, 0], holes[S, 1]), powers[S, : counts[S]], factors[S, : counts[S]])
    slope, bend = 0.0, 0.0
    if total > 0.0 and (T[S] > 0.0 or counts[S] > 0 or holes[S, 0] > 0.0):
        slope, bend = _slope(total, 0.0, 0.0, *at)
    elif T[S] > 0.0:
        slope = -np.inf
    step = (q - slope) / (1.0 + bend * softness)
    return min(step, (room - total) / softness) if room < np.inf else step


@njit(cache=True, error_model="numpy")
def _poured(wanted, guess, most, room, weight, energies, order, out):
    """The same where species have no energy of their own: the most wanted ones share what the prox of U
    gives."""
    T, holes, powers, factors, counts = energies
    S, held, sought = wanted.size, 0, 0.0
    for i in range(S):
        out[i] = 0.0
        if most[i] > 0.0:
            at = held
            while at > 0 and wanted[order[at - 1]] < wanted[i]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = i
            held += 1
    last = (T[S], (holes[S, 0], holes[S, 1]), powers[S, : counts[S]], factors[S, : counts[S]])
    for n in range(1, held + 1):
        sought += wanted[order[n - 1]]
        total = cell_prox(sought, guess.sum(), room, weight / n, *last)
        level = (sought - total) / n
        if n == held or wanted[order[n]] <= level:
            for k in range(n):
                out[order[k]] = max(wanted[order[k]] - level, 0.0)
            return
