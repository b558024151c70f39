"""The prox of an entropy and the modes of the slices, against scipy and numpy."""

import numpy as np
from scipy.special import wrightomega

from jko.loops.elliptic.dynamic_step import applied_to_modes, inverses_of_modes, wright


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
