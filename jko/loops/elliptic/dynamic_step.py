"""Loops of the dynamic step: proxes of the action at the faces and of the energy in the cells.

An axis may close on itself; its last face then leads to the first cell.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_MATH = {"contract", "nsz", "reassoc", "arcp"}
_SETTLED = 1e-14  # of a density, its last change by Newton's method: earlier stops differ in other units


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
            some = kappa > -t0[i] * c * c
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


@njit(cache=True, error_model="numpy")
def cell_pass(
    projected: np.ndarray,
    density: np.ndarray,
    dual: np.ndarray,
    field: np.ndarray,
    cap: np.ndarray,
    weight: float,
    relaxation: float,
    temperature: float,
    holes: tuple,
    powers: np.ndarray,
    factors: np.ndarray,
    sums: np.ndarray,
):
    """r ← prox of T r log r + Σ cᵢ r^{mᵢ}/(mᵢ − 1) + f r over 0 ≤ r ≤ cap at the relaxed projection plus
    dual, and of S (c − r) log(c − r) for `holes` = (S, c).

    Flat arrays; `powers` are mᵢ and `factors` cᵢ. sums gain |projected − r|² and |r − r_old|².
    """
    primal, change = 0.0, 0.0
    if temperature == 0.0 and powers.size == 0 and holes[0] == 0.0:
        _box_pass(projected, density, dual, field, cap, weight, relaxation, sums)
        return
    if powers.size == 0 and holes[0] == 0.0:
        _entropy_pass(projected, density, dual, field, cap, weight, relaxation, temperature, sums)
        return
    for i in range(density.size):
        old = density[i]
        r0 = relaxation * projected[i] + (1.0 - relaxation) * old + dual[i]
        r = cell_prox(r0 - field[i] / weight, old, cap[i], weight, temperature, holes, powers, factors)
        primal += (projected[i] - r) ** 2
        change += (r - old) ** 2
        density[i] = r
        dual[i] = r0 - r
    sums[0] += primal
    sums[1] += change


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def _box_pass(
    projected: np.ndarray,
    density: np.ndarray,
    dual: np.ndarray,
    field: np.ndarray,
    cap: np.ndarray,
    weight: float,
    relaxation: float,
    sums: np.ndarray,
):
    """cell_pass without an internal energy."""
    primal, change = 0.0, 0.0
    keep, scale = 1.0 - relaxation, 1.0 / weight
    for i in range(density.size):
        old = density[i]
        r0 = relaxation * projected[i] + keep * old + dual[i]
        r = min(max(r0 - scale * field[i], 0.0), cap[i])
        primal += (projected[i] - r) ** 2
        change += (r - old) ** 2
        density[i] = r
        dual[i] = r0 - r
    sums[0] += primal
    sums[1] += change


@njit(cache=True, error_model="numpy")
def _entropy_pass(
    projected: np.ndarray,
    density: np.ndarray,
    dual: np.ndarray,
    field: np.ndarray,
    cap: np.ndarray,
    weight: float,
    relaxation: float,
    temperature: float,
    sums: np.ndarray,
):
    """cell_pass with an entropy alone: u = weight r/T solves u + log u = z, the Wright function of z
    [CorlessJeffrey2002]."""
    primal, change = 0.0, 0.0
    keep, unit = 1.0 - relaxation, temperature / weight
    shift, scale = 1.0 + np.log(unit), 1.0 / temperature
    for i in range(density.size):
        old = density[i]
        r0 = relaxation * projected[i] + keep * old + dual[i]
        r = unit * wright(r0 / unit - scale * field[i] - shift, old / unit)
        r = min(r, cap[i])
        primal += (projected[i] - r) ** 2
        change += (r - old) ** 2
        density[i] = r
        dual[i] = r0 - r
    sums[0] += primal
    sums[1] += change


@njit(cache=True, error_model="numpy")
def wright(z: float, guess: float):
    """u > 0 with u + log u = z, by the iteration of fourth order of [FritschShaferCrowley1973]."""
    u = guess
    if not (guess > 0.0 and abs(z - guess - np.log(guess)) < 1.0 + guess):
        u = np.exp(z) if z < -1.0 else (z - np.log(z) if z > 2.0 else 0.5 + 0.25 * (z + 1.0))
    for _ in range(20):
        if u < 1e-300:
            return 0.0
        left = z - u - np.log(u)
        part = 2.0 * (1.0 + u) * (1.0 + u + (2.0 / 3.0) * left)
        move = left / (1.0 + u) * (part - left) / (part - 2.0 * left)
        u *= 1.0 + max(move, -0.9)
        if move**4 <= _SETTLED:  # of fourth order
            break
    return u


@njit(cache=True, error_model="numpy")
def cell_prox(
    b: float,
    guess: float,
    cap: float,
    weight: float,
    temperature: float,
    holes: tuple,
    powers: np.ndarray,
    factors: np.ndarray,
):
    """argmin T r log r + S (c − r) log(c − r) + Σ cᵢ r^{mᵢ}/(mᵢ − 1) + weight (r − b)²/2 over [0, cap]:
    Newton within a bracket."""
    if holes[0] > 0.0:
        cap = min(cap, holes[1])
    elif temperature == 0.0:
        if powers.size == 0:
            return min(max(b, 0.0), cap)
        if powers.size == 1 and powers[0] == 2.0:
            return min(max(weight * b / (weight + 2.0 * factors[0]), 0.0), cap)
        if b <= 0.0 and powers.min() > 1.0:
            return 0.0
    if cap <= 0.0:
        return 0.0
    if np.isfinite(cap) and _slope(cap, b, weight, temperature, holes, powers, factors)[0] <= 0.0:
        return cap
    low, high = 0.0, cap
    r = (
        guess
        if guess > 0.0 and guess < cap
        else (b if b > 0.0 and b < cap else min(1e-3 / weight, 0.5 * cap))
    )
    for _ in range(100):
        value, bend = _slope(r, b, weight, temperature, holes, powers, factors)
        if value > 0.0:
            high = r
        else:
            low = r
        # in log r where the slope is positive, in r where it is not: from either side without overshoot
        new = r * np.exp(-value / (r * bend)) if value > 0.0 else r - value / bend
        if not (new > low and new < high):
            new = 0.5 * (low + high) if np.isfinite(high) else 2.0 * r
            if low > 0.0 and np.isfinite(high):
                new = np.sqrt(low) * np.sqrt(high)
            elif low == 0.0:
                new = 1e-3 * r
        if new < 1e-300:
            return 0.0
        if abs(new - r) <= _SETTLED * new:
            return new
        r = new
    return r


@njit(cache=True, error_model="numpy")
def cell_proxes(
    wanted: np.ndarray,
    guess: np.ndarray,
    cap: np.ndarray,
    weights: np.ndarray,
    temperature: float,
    holes: tuple,
    powers: np.ndarray,
    factors: np.ndarray,
    out: np.ndarray,
):
    """out ← cell_prox in each cell, with weights of their own; flat arrays."""
    for i in range(out.size):
        out[i] = cell_prox(wanted[i], guess[i], cap[i], weights[i], temperature, holes, powers, factors)


@njit(cache=True, error_model="numpy")
def _slope(
    r: float,
    b: float,
    weight: float,
    temperature: float,
    holes: tuple,
    powers: np.ndarray,
    factors: np.ndarray,
):
    """U′(r) + weight (r − b) and its derivative."""
    value, bend = weight * (r - b), weight
    if temperature > 0.0:
        value += temperature * (np.log(r) + 1.0)
        bend += temperature / r
    if holes[0] > 0.0:
        value -= holes[0] * (np.log(holes[1] - r) + 1.0)
        bend += holes[0] / (holes[1] - r)
    for k in range(powers.size):
        m = powers[k]
        power = factors[k] * m * (r if m == 2.0 else r ** (m - 1.0))
        value += power / (m - 1.0)
        bend += power / r
    return value, bend


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def inverses_of_modes(laplacian: np.ndarray, mean: np.ndarray, theta: float, weight: float, out: np.ndarray):
    """out `[modes, K, K]` ← (I + L T M Tᵀ)^{-1} of each mode, T summing over later slices, M = theta·mean·B +
    weight·I with B tridiagonal of 2, the last 1, and 1 beside. As (I + T L M Tᵀ) = T (T^{-1}T^{-ᵀ} + L M) Tᵀ
    it is T^{-ᵀ}(T^{-1}T^{-ᵀ} + L M)^{-1}T^{-1}, tridiagonal inside."""
    modes, K, _ = out.shape
    low, d = np.empty(K), np.empty(K)
    for n in range(modes):
        a, b = laplacian[n] * theta * mean[n], laplacian[n] * weight
        # T^{-1} = I − (shift up): T^{-1}T^{-ᵀ} has 2 on the diagonal, the last 1, and −1 beside
        beside = a - 1.0
        for k in range(K):
            last = 1.0 if k == K - 1 else 2.0
            d[k] = last + last * a + b
            if k > 0:
                low[k] = beside / d[k - 1]
                d[k] -= low[k] * beside
        for j in range(K):
            # column j of T^{-1}, e_j − e_{j−1}, through the factors, and T^{-ᵀ} of what it gives
            for k in range(K):
                x = 1.0 if k == j else (-1.0 if k == j - 1 else 0.0)
                out[n, k, j] = x - (low[k] * out[n, k - 1, j] if k > 0 else 0.0)
            for i in range(K):
                k = K - 1 - i
                out[n, k, j] = out[n, k, j] / d[k]
                if k < K - 1:
                    out[n, k, j] -= low[k + 1] * out[n, k + 1, j]
            for i in range(K):
                k = K - 1 - i
                if k > 0:
                    out[n, k, j] -= out[n, k - 1, j]


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def applied_to_modes(inverses: np.ndarray, modes: np.ndarray):
    """Each mode's matrix times its numbers of all slices, `modes` `[K, modes, species]`, in place."""
    K, count, species = modes.shape
    row = np.empty(K, modes.dtype)
    for n in range(count):
        for s in range(species):
            for i in range(K):
                row[i] = 0.0
                for j in range(K):
                    row[i] += inverses[n, i, j] * modes[j, n, s]
            for i in range(K):
                modes[i, n, s] = row[i]
