"""The prox of an entropy and the modes of the slices, against scipy and numpy."""

import numpy as np
from scipy.special import wrightomega

from jko.loops.elliptic.cell_proxes import wright
from jko.loops.elliptic.dynamic_step import _proxes
from jko.loops.elliptic.slice_modes import applied_to_modes, inverses_of_modes


def test_the_wright_function_from_any_guess():
    for z in np.concatenate([np.linspace(-600.0, 10.0, 60), np.geomspace(10.0, 1e15, 20)]):
        exact = wrightomega(z)
        for guess in (exact, 1.3 * exact, 1e-10, 1.0, 1e8 * exact, 0.0):
            assert abs(wright(z, guess) / exact - 1.0) < 1e-15 * max(abs(z), 100.0)
    assert wright(-1e4, 1.0) == 0.0


def test_the_inverses_of_modes_of_slices():
    """(I + L T M Tᵀ)^{-1} with T summing over later slices."""
    rng = np.random.default_rng(0)
    laplacian, mean, theta, weight = 10.0 ** rng.uniform(-6, 6, 20), rng.uniform(0, 1, 20), 0.7, 3.0
    for K in (2, 5):
        pairs = 2.0 * np.eye(K) + np.eye(K, k=1) + np.eye(K, k=-1)
        pairs[-1, -1] = 1.0
        later, found = np.triu(np.ones((K, K))), np.empty((20, K, K))
        inner = theta * mean[:, None, None] * pairs + weight * np.eye(K)
        exact = np.linalg.inv(np.eye(K) + laplacian[:, None, None] * (later @ inner @ later.T))
        inverses_of_modes(laplacian, mean, theta, weight, found)
        assert np.allclose(found, exact, rtol=1e-9, atol=1e-13)
        modes = rng.normal(size=(K, 20, 2)) + 1j * rng.normal(size=(K, 20, 2))
        wanted = np.einsum("nij,jns->ins", exact, modes)
        applied_to_modes(found, modes)
        assert np.allclose(modes, wanted, rtol=1e-8, atol=1e-12)


def test_the_proxes_of_the_action_solve_their_cubic_in_any_unit():
    """t = y − c ≥ 0 with y²(y − t₀ − c) = κ, v = v₀t/y: the largest root by numpy, from any guess."""
    rng = np.random.default_rng(0)
    n = 400
    v0, t0 = (
        rng.normal(size=n) * 10.0 ** rng.uniform(-6, 3, n),
        rng.normal(size=n) * 10.0 ** rng.uniform(-6, 3, n),
    )
    v0[:20], closed = 0.0, np.arange(n) >= n - 20
    guess, action, s, g = 10.0 ** rng.uniform(-9, 4, n), 10.0 ** rng.uniform(-3, 3, n), 0.7, 30.0
    c, kappa = 2.0 * action / s, action * v0**2 / g
    root = [np.roots([1.0, -(a + b), 0.0, -k]).real.max() for a, b, k in zip(t0, c, kappa, strict=True)]
    t = np.where(closed, np.maximum(t0, 0.0), np.maximum(np.array(root) - c, 0.0))
    v = np.where(closed, 0.0, v0 * t / (t + c))
    for unit in (1.0, 1e20):  # of densities and flows: actions and weights are energies, over one
        work, held = np.zeros((7, n)), (guess, guess, unit * guess, guess)
        work[2], work[3] = unit * v0, unit * t0
        _proxes(held, closed, unit * action, (s, g, 1.8), work)
        assert np.allclose(work[4] / unit, v, rtol=1e-9, atol=1e-12 * np.abs(v0))
        assert np.allclose(work[5] / unit, t, rtol=1e-9, atol=1e-12 * (c + np.abs(t0)))


def test_a_face_without_mass_stays_without_where_its_cubic_has_its_root_at_the_offset():
    """t₀ = −κ/c², as every start sets it in a vacuum: rounding alone says on which side of c the root is."""
    rng = np.random.default_rng(1)
    n, s, g = 4000, 0.7, 30.0
    v0, action = rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3, n), 10.0 ** rng.uniform(-2, 2, n)
    c = 2.0 * action / s
    t0 = -(action * v0**2 / g) / c**2 * (1.0 + 1e-16 * rng.integers(-3, 4, n))
    work, held = np.zeros((7, n)), (v0, v0, np.zeros(n), v0)
    work[2], work[3] = v0, t0
    _proxes(held, np.zeros(n, bool), action, (s, g, 1.8), work)
    assert np.all(work[5] <= 1e-13 * (c - t0))
