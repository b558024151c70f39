"""Loops over cells that several species share: the prox of an energy of each and of all together, and flows
cut down until the room is enough for all."""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.elliptic.dynamic_step import _ROUNDING, _SETTLED, _slope, cell_prox


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


@njit(cache=True, error_model="numpy")
def cut_shared_flows(start, across, along, cap, room, order, visits):
    """Flows `[.., species]` of two axes scaled down, in place, until 0 ≤ start − Dv ≤ cap and Σ_i ≤ room up
    to rounding, as `cut_flows` does with one species. An axis with as many faces as cells closes on itself.
    Returns how many cells still wait.
    """
    a, b, _ = start.shape
    size = a * b
    queue, waits = np.empty(size, np.int64), np.zeros(size, np.bool_)
    head, count = 0, 0
    for at in order:
        queue[count] = at
        waits[at] = True
        count += 1
    for _ in range(visits * size):
        if count == 0:
            break
        at = queue[head]
        head, count = (head + 1) % size, count - 1
        waits[at] = False
        i, j = at // b, at % b
        x = i - 1 if i > 0 or across.shape[0] < a else a - 1
        y = j - 1 if j > 0 or along.shape[1] < b else b - 1
        if not _cut_cell(start, across, along, cap, room, i, j, x, y):
            continue
        u = i + 1 if i + 1 < a else (0 if across.shape[0] == a else -1)
        v = j + 1 if j + 1 < b else (0 if along.shape[1] == b else -1)
        for p, q in ((x, j), (u, j), (i, y), (i, v), (i, j)):
            if p < 0 or q < 0:
                continue
            other = p * b + q
            if not waits[other]:
                waits[other] = True
                queue[(head + count) % size] = other
                count += 1
    return count


@njit(cache=True, error_model="numpy")
def _cut_cell(start, across, along, cap, room, i, j, x, y):
    """Scale the flows of one cell down where it needs it; whether it did. (x, y) are the cells below."""
    changed, before, entered, left, most = False, 0.0, 0.0, 0.0, 0.0
    for k in range(start.shape[2]):
        enters, leaves = _exchanged(across, along, i, j, x, y, k)
        r = start[i, j, k] + enters - leaves
        rounding = _ROUNDING * (start[i, j, k] + enters + leaves)
        if r < -rounding:
            _scaled(across, along, i, j, x, y, k, 1.0, (start[i, j, k] + enters) / leaves)
            leaves, changed = start[i, j, k] + enters, True
        elif r > cap[i, j, k] + rounding and enters > 0.0:
            share = max(0.0, (cap[i, j, k] - start[i, j, k] + leaves) / enters)
            if share < 1.0:
                _scaled(across, along, i, j, x, y, k, -1.0, share)
                enters, changed = share * enters, True
        before += start[i, j, k]
        entered += enters
        left += leaves
    most = room + _ROUNDING * (before + entered + left)
    if before + entered - left > most and entered > 0.0:
        share = max(0.0, (room - before + left) / entered)
        if share < 1.0:
            for k in range(start.shape[2]):
                _scaled(across, along, i, j, x, y, k, -1.0, share)
            changed = True
    return changed


@njit(cache=True, error_model="numpy")
def _exchanged(across, along, i, j, x, y, k):
    """What enters and what leaves a cell of one species."""
    enters, leaves = 0.0, 0.0
    if i < across.shape[0]:
        enters += max(-across[i, j, k], 0.0)
        leaves += max(across[i, j, k], 0.0)
    if x >= 0:
        enters += max(across[x, j, k], 0.0)
        leaves += max(-across[x, j, k], 0.0)
    if j < along.shape[1]:
        enters += max(-along[i, j, k], 0.0)
        leaves += max(along[i, j, k], 0.0)
    if y >= 0:
        enters += max(along[i, y, k], 0.0)
        leaves += max(-along[i, y, k], 0.0)
    return enters, leaves


@njit(cache=True, error_model="numpy")
def _scaled(across, along, i, j, x, y, k, sign, share):
    """Scale the flows out of a cell (sign 1) or into it (sign −1) of one species."""
    if i < across.shape[0] and sign * across[i, j, k] > 0.0:
        across[i, j, k] *= share
    if x >= 0 and -sign * across[x, j, k] > 0.0:
        across[x, j, k] *= share
    if j < along.shape[1] and sign * along[i, j, k] > 0.0:
        along[i, j, k] *= share
    if y >= 0 and -sign * along[i, y, k] > 0.0:
        along[i, y, k] *= share
