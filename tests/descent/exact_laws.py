"""The law of a stochastic integrator without sampling: moments, trees of paths and transfer operators.

Everything is computed from the integrator's own `move`, on numpy arrays.
"""

import itertools

import numpy as np
from scipy.sparse import csr_matrix

THREE_POINTS, PROBABILITIES = np.sqrt(3.0) * np.array([-1.0, 0.0, 1.0]), np.array([1.0, 4.0, 1.0]) / 6.0


def moved(scheme, gradient, carried, temperature, tau, kicks):
    """One step of arrays `[n]` in one dimension with the increments kicks[0], kicks[1]."""
    carried = tuple(np.asarray(array, dtype=float) for array in carried)
    return scheme.move(gradient, carried, scheme.coefficients(temperature, tau), lambda ahead: kicks[ahead])


def linear_step(scheme, stiffness, temperature, tau):
    """Matrices (A, B) of (x, …)⁺ = A(x, …) + B(ξ_k, ξ_{k+1}) where the gradient is stiffness·x.

    The state is what the scheme carries but the gradient, which follows from the positions.
    """
    size = 1 + len([name for name in scheme.carries if name != "gradient"])
    inputs = np.eye(size + 2)

    def carried(rows):
        return (*rows, stiffness * rows[0]) if "gradient" in scheme.carries else tuple(rows)

    out = moved(
        scheme,
        lambda x, later=0: stiffness * x,
        carried(inputs[:size]),
        temperature,
        tau,
        (inputs[-2], inputs[-1]),
    )
    both = np.array(out[:size])
    return both[:, :size], both[:, size:]


def second_moments(scheme, stiffness, temperature, tau, steps, start):
    """E[zzᵀ] of the state z after the steps, ξ_k carried along; start is E[zzᵀ] at first."""
    A, B = linear_step(scheme, stiffness, temperature, tau)
    size = len(A)
    whole = np.zeros((size + 1, size + 1))
    whole[:size, :size], whole[:size, size], shift = A, B[:, 0], np.append(B[:, 1], 1.0)
    moments = np.zeros_like(whole)
    moments[:size, :size], moments[size, size] = start, 1.0
    for _ in range(steps):
        moments = whole @ moments @ whole.T + np.outer(shift, shift)
    return moments[:size, :size]


def averages_over_paths(scheme, gradient, temperature, tau, steps, start, observables):
    """E f(x) of the scheme driven by three-point increments from one start, over all its 3^steps paths.

    Increments of two neighbouring steps are not supported: `move` may ask for kicks(0) only.
    """
    carried, weights = tuple(np.array([value]) for value in start), np.ones(1)
    for _ in range(steps):
        n = len(weights)
        kicks = np.tile(THREE_POINTS, n)
        carried = moved(
            scheme, gradient, [np.repeat(array, 3) for array in carried], temperature, tau, (kicks,)
        )
        weights = np.outer(weights, PROBABILITIES).ravel()
    return np.array([weights @ f(carried[0]) for f in observables])


def averages_of_the_diffusion(V, dV, d2V, temperature, time, start, observables, reach=6.0, nodes=241):
    """E f(X_t), dX = −V′dt + √(2θ)dB, X_0 = start, spectrally accurate: Schrödinger's form on sinc functions.

    e^{V/2θ}e^{tL}e^{−V/2θ} = e^{−tH}, H = −θ∂² + V′²/4θ − V″/2; start must be one of the nodes.
    """
    x = np.linspace(-reach, reach, nodes)
    h = x[1] - x[0]
    difference = np.subtract.outer(np.arange(nodes), np.arange(nodes))
    off = np.where(difference == 0, 1, difference)
    second = np.where(difference == 0, -(np.pi**2) / 3.0, -2.0 * (-1.0) ** difference / off**2) / h**2
    H = -temperature * second + np.diag(dV(x) ** 2 / (4.0 * temperature) - 0.5 * d2V(x))
    values, vectors = np.linalg.eigh(H)
    index = int(np.argmin(np.abs(x - start)))
    assert abs(x[index] - start) < 1e-12
    kernel = (vectors[index] * np.exp(-time * values)) @ vectors.T
    law = kernel * np.exp((V(x[index]) - V(x)) / (2.0 * temperature))
    return np.array([law @ f(x) for f in observables])


def orders(errors):
    """log₂ of the ratios of neighbours."""
    return np.array([np.log2(abs(a / b)) for a, b in itertools.pairwise(errors)])


def average_at_equilibrium(scheme, dV, temperature, tau, f, reach=(3.2, 4.5), nodes=(120, 60), quadrature=24):
    """E f(x) in the equilibrium of the scheme itself, by its transfer operator on a grid in one dimension.

    The grid is of positions, or of positions and velocities within reach; increments are integrated by
    Gauss's rule, functions interpolated by polynomials of degree 7. `LeimkuhlerMatthews` is the Markov chain
    of y = x − kick·ξ_k.
    """
    points, masses = np.polynomial.hermite_e.hermegauss(quadrature)
    masses = masses / masses.sum()
    size = 1 + len([name for name in scheme.carries if name != "gradient"])
    axes = [np.linspace(-r, r, n) for r, n in zip(reach[:size], nodes[:size])]
    state = [a.ravel() for a in np.meshgrid(*axes, indexing="ij")]
    half = scheme.coefficients(temperature, tau)[-1] if type(scheme).__name__ == "LeimkuhlerMatthews" else 0.0
    total = len(state[0])
    operator, average = csr_matrix((total, total)), np.zeros(total)
    for xi, mass in zip(points, masses):
        x = state[0] + half * xi
        average += mass * f(x)
        carried = (x, *state[1:], dV(x)) if "gradient" in scheme.carries else (x, *state[1:])
        out = moved(scheme, dV, carried, temperature, tau, (np.full(total, xi), np.zeros(total)))
        operator = operator + mass * _interpolation(axes, out[:size])
    law = np.full(total, 1.0 / total)
    for _ in range(20_000):
        before, law = law, operator.T @ law
        law /= law.sum()
        if np.abs(law - before).sum() < 1e-12:
            break
    return float(law @ average)


def _interpolation(axes, points, degree=7):
    """Values on a grid to values at points: products of Lagrange's polynomials at the nearest nodes."""
    rows, index, weight = len(points[0]), np.zeros((len(points[0]), 1), int), np.ones((len(points[0]), 1))
    for axis, x in zip(axes, points):
        h, x = axis[1] - axis[0], np.clip(x, axis[0], axis[-1])
        first = np.clip(np.floor((x - axis[0]) / h).astype(int) - degree // 2, 0, len(axis) - degree - 1)
        at = (x - axis[0]) / h - first
        k = np.arange(degree + 1)
        basis = [np.prod([(at - j) / (i - j) for j in k if j != i], axis=0) for i in k]
        index = (index[:, :, None] * len(axis) + (first[:, None] + k)[:, None, :]).reshape(rows, -1)
        weight = (weight[:, :, None] * np.stack(basis, axis=1)[:, None, :]).reshape(rows, -1)
    total = int(np.prod([len(axis) for axis in axes]))
    return csr_matrix(
        (weight.ravel(), (np.repeat(np.arange(rows), index.shape[1]), index.ravel())), (rows, total)
    )
