"""The equations: energies, Gram matrices and sums over pairs, against the laws that they estimate."""

import numpy as np
import pytest

from jko.learn import Polynomial, Quadratic, Radial
from jko.learn.features import EvenPowers, Rings, Together
from jko.learn.model import Model
from jko.learn.moments import moments, paired_sums


def model(potential=None, kernels=None, temperature=0.0, fitted=False):
    return Model(potential, kernels, temperature, fitted, np.ones((1, 1)))


def weighted(n, d, seed):
    generator = np.random.default_rng(seed)
    w = generator.uniform(0.5, 1.5, n)
    return generator.normal(size=(n, d)) + 0.4, w / w.sum()


@pytest.mark.parametrize("d", [1, 2])
def test_squares_are_summed_by_moments_as_pair_by_pair(d):
    x, w = weighted(40, d, seed=d)
    fast = paired_sums(model(kernels=EvenPowers(d, 1, 1.7)), x, w)
    both = Together((EvenPowers(d, 1, 1.7), Rings(d, np.array([1.0]))))
    slow = paired_sums(model(kernels=both), x, w)
    for a, b in zip(fast, slow, strict=True):
        b = b[..., :1] if b.ndim < 4 and a.ndim == b.ndim and b.shape[-1] == 2 else b
        b = b[..., :1, :1] if a.shape != b.shape else b
        assert np.allclose(a, b, rtol=1e-12)


def test_sums_over_pairs_leave_out_each_point_with_itself():
    """For ψ = |z|² and three points the estimates are unbiased: means over all triples of a small
    population."""
    population = np.array([[0.0], [1.0], [3.0], [4.5]])
    law = np.full(4, 0.25)
    mean, variance = law @ population[:, 0], law @ population[:, 0] ** 2 - (law @ population[:, 0]) ** 2
    made, energies, grams = model(kernels=EvenPowers(1, 1, 1.0)), [], []
    equal = np.full(3, 1.0 / 3.0)
    for i in range(4):
        for j in range(4):
            for k in range(4):  # independent draws
                found = moments(made, population[[i, j, k]], equal)
                energies.append(found.energies[0])
                grams.append(found.gram[0, 0])
    # ½∬|x − y|² = variance; ∫|2(x − m)|² = 4 variance
    assert np.isclose(np.mean(energies), variance)
    assert np.isclose(np.mean(grams), 4.0 * variance)
    assert np.isfinite(mean)


def test_energies_fall_by_their_gram_matrix_along_the_flow():
    """dF_i/dt = −⟨∇δF_i, ∇δF⟩ + θ⟨ΔδF_i⟩ of a Gaussian under a quadratic F: both sides known."""
    generator = np.random.default_rng(4)
    x = generator.normal(size=(200_000, 1)) * 0.7 + 1.2
    w = np.full(len(x), 1.0 / len(x))
    potential = Quadratic().potentials(x[:500])
    found = moments(model(potential), x, w)
    s, middle = potential.scale[0], potential.middle[0]
    a, theta = 1.5, 0.3
    # V = ½a x² in these monomials, but for a constant
    p = np.array([a * middle * s, 0.5 * a * s**2])
    fall = -found.gram @ p + theta * found.laplacians
    m, v = 1.2, 0.49
    first = -a * m / s  # d⟨x⟩/dt
    second = (-2.0 * a * v + 2.0 * theta) / s**2 + 2.0 * (m - middle) / s**2 * (-a * m)
    assert np.allclose(fall, [first, second], rtol=2e-2)


def test_gram_matrices_are_those_of_gradients_on_both_bases():
    x, w = weighted(150, 2, seed=9)
    both = model(Radial(centres=12, width=1.0).potentials(x), Polynomial(degree=4).kernels(x))
    found = moments(both, x, w)
    m = both.potentials
    own = both.potential.gradients(x)
    pulls = paired_sums(both, x, w)[1]
    assert np.allclose(found.gram[:m, :m], np.einsum("n,ndi,ndj->ij", w, own, own))
    assert np.allclose(found.gram[:m, m:], np.einsum("n,ndi,ndj->ij", w, own, pulls))
    assert np.allclose(found.gram, found.gram.T, rtol=1e-13)
