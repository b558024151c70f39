"""Loops of the dynamic step: proxes of the action at the faces, and of sources in the cells.

An axis may close on itself; its last face then leads to the first cell.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_MATH = {"contract", "nsz", "reassoc", "arcp"}


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def source_prox(w0, t0, action, s, g, guess_w, guess_t):
    """(w, t) of least action·(8t − 4√(4t² − w²)) + s(w − w₀)²/2 + g(t − t₀)²/2.

    With w = 2t sin φ, t = t₀ + c(sec φ − 1), c = 8 action/g: an equation for tan φ that rises where t > 0,
    concave for t₀ ≥ c and convex else, so that Newton's method converges from the second iterate on.
    """
    c, a, size = 8.0 * action / g, 4.0 * action / s, abs(w0)
    if size == 0.0:
        return 0.0, max(t0, 0.0)
    least = 0.0
    if t0 < 0.0:  # t ≥ 0 from there on
        secant = 1.0 - t0 / c
        least = np.sqrt(secant * secant - 1.0)
        if a * least >= size:
            return 0.0, 0.0
    room = 4.0 * guess_t * guess_t - guess_w * guess_w
    z = max(abs(guess_w) / np.sqrt(room), least) if room > 0.0 else max(size / a, least)
    for _ in range(100):
        secant = np.sqrt(1.0 + z * z)
        value = 2.0 * (t0 - c) * z / secant + (2.0 * c + a) * z - size
        slope = 2.0 * (t0 - c) / (secant * secant * secant) + 2.0 * c + a
        new = max(z - value / slope, least)
        done = abs(new - z) <= 1e-8 * new
        z = new
        if done:
            break
    secant = np.sqrt(1.0 + z * z)
    t = max(t0 + c * z * z / (1.0 + secant), 0.0)
    return np.copysign(2.0 * t * z / secant, w0), t


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def crowded_prox(v0, t0, action, s, g, crowding, guess):
    """(v, t) of least action·v²/M(t) + s(v − v₀)²/2 + g(t − t₀)²/2, M = t − crowding·t²: Newton in a bracket.

    With v = v₀ sM/(2 action + sM) a convex function of t in [0, 1/crowding] is left.
    """
    cap, pull = 1.0 / crowding, action * s * s * v0 * v0
    low, high, t = 0.0, cap, guess
    if -g * t0 - pull / (4.0 * action * action) >= 0.0:
        return 0.0, 0.0
    if g * (cap - t0) + pull / (4.0 * action * action) <= 0.0:
        return 0.0, cap
    if not (t > low and t < high):
        t = 0.5 * cap
    for _ in range(60):
        slope = 1.0 - 2.0 * crowding * t
        whole = 2.0 * action + s * (t - crowding * t * t)
        share = pull / (whole * whole)
        value = g * (t - t0) - share * slope
        if value > 0.0:
            high = t
        else:
            low = t
        new = t - value / (g + 2.0 * share * (s * slope * slope / whole + crowding))
        if not (new > low and new < high):
            new = 0.5 * (low + high)
        done = abs(new - t) <= 1e-14 * cap
        t = new
        if done:
            break
    mobility = s * (t - crowding * t * t)
    return v0 * mobility / (2.0 * action + mobility), t


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def face_pass(cells, copy, wall, closed, action, stride, weights, crowding, block, divergence, means, sums):
    """One axis: (v, θ) ← prox of action·v²/M(θ) at the relaxed projection plus the scaled dual, in place, for
    M = θ − crowding·θ², each face with an `action` of its own.

    Lines `[outer, cells]` whose neighbours stand `stride` apart, and of faces `[outer, faces]`, those between
    the last cells and the first at the end where the axis closes on itself. `cells` are the densities before
    and after and the potential, `copy` is (v, θ) with its duals, weights = (s, g, relaxation) of (v − v₀)²/2
    and (θ − θ₀)²/2. `divergence` gains D(v − u), `means` Sᵀ(θ − u) with mirrored walls; sums gain
    |v_projected − v|², |v − v_old|² and the same of θ. Where `closed` no mass passes. `block` faces are taken
    at once, so that what is between stays near.
    """
    outer, count = divergence.shape
    faces, within, relaxation = closed.shape[1], count - stride, weights[2]
    work = np.empty((7, block))
    for o in range(outer):
        first = 0
        while first < faces:
            last = min(first + block, within if first < within else faces)
            shift = stride if first < within else -within
            at, beyond = (o, slice(first, last)), (o, slice(first + shift, last + shift))
            lower = (cells[0][at], cells[1][at], cells[2][at])
            upper = (cells[0][beyond], cells[1][beyond], cells[2][beyond])
            held = (copy[0][at], copy[1][at], copy[2][at], copy[3][at])
            _project(lower, upper, held, weights, work)
            if crowding > 0.0:
                _crowded_proxes(held, closed[at], action[at], weights, crowding, work)
            else:
                _proxes(held, closed[at], action[at], weights, work)
            _renew(held, work, sums)
            out = (divergence[at], divergence[beyond], means[at], means[beyond])
            _hand_on(held, out)
            first = last
        for side in range(wall.shape[1]):
            for j in range(stride):
                i = side * within + j
                value = relaxation * 0.5 * (cells[0][o, i] + cells[1][o, i])
                wall[o, side, j] = value + (1.0 - relaxation) * wall[o, side, j]
                means[o, i] += 0.5 * wall[o, side, j]


# Loops over the faces of a block, of few arrays each: with more of them none would be vectorised.


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def _project(lower, upper, held, weights, work):
    """work ← the projected (x, y) of (v, θ), and relaxed with the duals (v₀, t₀)."""
    (before, after, potential), (flow, flow_dual, theta, theta_dual) = lower, held
    before_up, after_up, potential_up = upper
    s, _, relaxation = weights
    x, y, v0, t0 = work[0], work[1], work[2], work[3]
    keep, slope = 1.0 - relaxation, 1.0 / s
    for i in range(flow.size):
        x[i] = flow[i] - flow_dual[i] + slope * (potential[i] - potential_up[i])
    for i in range(flow.size):
        v0[i] = relaxation * x[i] + keep * flow[i] + flow_dual[i]
    for i in range(flow.size):
        y[i] = 0.25 * (before[i] + after[i] + before_up[i] + after_up[i])
    for i in range(flow.size):
        t0[i] = relaxation * y[i] + keep * theta[i] + theta_dual[i]


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def _proxes(held, closed, action, weights, work):
    """work ← (v, t) of least action·v²/t + s(v − v₀)²/2 + g(t − t₀)²/2.

    t = y − c, c = 2 action/s, with the root of y²(y − y₀) = κ, y₀ = t₀ + c, κ = action·v₀²/g, above c; where
    there is none (0, 0) is the prox. By Halley's method, which never leaves y ≥ max(y₀, 0): its step is a
    decreasing function of κ, which for κ = 0 ends at or above y₀.
    """
    s, g, _ = weights
    v0, t0, v, t, root = work[2], work[3], work[4], work[5], work[6]
    theta = held[2]
    a, b = 2.0 / s, 1.0 / g
    for i in range(theta.size):
        c, kappa = a * action[i], b * action[i] * v0[i] * v0[i]
        root[i] = max(theta[i], t0[i]) + c if kappa > -t0[i] * c * c else c
    for _ in range(100):
        unsettled = 0.0
        for i in range(theta.size):
            c, kappa = a * action[i], b * action[i] * v0[i] * v0[i]
            some = kappa > -t0[i] * c * c  # asked once for both: rounding may answer otherwise elsewhere
            y0, kappa, y = c + (t0[i] if some else 0.0), kappa if some else 0.0, root[i]
            value, slope = y * y * (y - y0) - kappa, y * (3.0 * y - 2.0 * y0)
            step = value * slope / (slope * slope - value * (3.0 * y - y0))
            y -= step
            unsettled += 1.0 if step * step > 1e-10 * y * y else 0.0  # of third order
            root[i] = y
        if unsettled == 0.0:
            break
    for i in range(theta.size):
        t[i] = max(t0[i], 0.0) if closed[i] else max(root[i] - a * action[i], 0.0)
    for i in range(theta.size):
        v[i] = 0.0 if closed[i] else v0[i] * (t[i] / root[i])


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def _crowded_proxes(held, closed, action, weights, crowding, work):
    """The same under the mobility t − crowding·t²."""
    s, g, _ = weights
    v0, t0, v, t = work[2], work[3], work[4], work[5]
    for i in range(closed.size):
        v[i], t[i] = 0.0, max(t0[i], 0.0)
        if not closed[i]:
            v[i], t[i] = crowded_prox(v0[i], t0[i], action[i], s, g, crowding, held[2][i])


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def _renew(held, work, sums):
    """(v, θ) and their duals ← those found; sums gain the squares of what they are off by and of what they
    have changed by."""
    flow, flow_dual, theta, theta_dual = held
    x, y, v0, t0, v, t = work[0], work[1], work[2], work[3], work[4], work[5]
    primal_v, dual_v, primal_t, dual_t = 0.0, 0.0, 0.0, 0.0
    for i in range(flow.size):
        primal_v += (x[i] - v[i]) ** 2
        dual_v += (v[i] - flow[i]) ** 2
        primal_t += (y[i] - t[i]) ** 2
        dual_t += (t[i] - theta[i]) ** 2
    sums[0] += primal_v
    sums[1] += dual_v
    sums[2] += primal_t
    sums[3] += dual_t
    for i in range(flow.size):
        flow[i], flow_dual[i] = v[i], v0[i] - v[i]
    for i in range(flow.size):
        theta[i], theta_dual[i] = t[i], t0[i] - t[i]


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def _hand_on(held, out):
    """out gains D(v − u) and Sᵀ(θ − u) in the cells below and above the faces."""
    (flow, flow_dual, theta, theta_dual), (lost, won, mean, mean_up) = held, out
    for i in range(flow.size):
        lost[i] += flow[i] - flow_dual[i]
    for i in range(flow.size):
        won[i] -= flow[i] - flow_dual[i]
    for i in range(flow.size):
        mean[i] += 0.5 * (theta[i] - theta_dual[i])
    for i in range(flow.size):
        mean_up[i] += 0.5 * (theta[i] - theta_dual[i])


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def source_pass(before, after, potential, source, source_dual, theta, theta_dual, closed, action, weights,
                relaxation, divergence, means, sums):  # fmt: skip
    """face_pass of sources w in the cells, flat arrays: r + w, S the density itself; none where `closed`."""
    s, g = weights
    keep = 1.0 - relaxation
    primal_w, dual_w, primal_t, dual_t = 0.0, 0.0, 0.0, 0.0
    for i in range(source.size):
        x = source[i] - source_dual[i] - potential[i] / s
        y = 0.5 * (before[i] + after[i])
        w0 = relaxation * x + keep * source[i] + source_dual[i]
        t0 = relaxation * y + keep * theta[i] + theta_dual[i]
        if closed[i]:
            w, t = 0.0, max(t0, 0.0)
        else:
            w, t = source_prox(w0, t0, action, s, g, source[i], theta[i])
        primal_w += (x - w) ** 2
        dual_w += (w - source[i]) ** 2
        primal_t += (y - t) ** 2
        dual_t += (t - theta[i]) ** 2
        source[i], theta[i] = w, t
        source_dual[i], theta_dual[i] = w0 - w, t0 - t
        divergence[i] -= 2.0 * w - w0
        means[i] += 2.0 * t - t0
    sums[0] += primal_w
    sums[1] += dual_w
    sums[2] += primal_t
    sums[3] += dual_t
