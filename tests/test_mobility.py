"""What is declared of a mobility is checked, and what cannot be one is refused in a sentence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.mobility import Mobility

S = np.linspace(0.0, 2.0, 41)


def test_exclusion_is_its_formula_and_belongs_to_the_entropy():
    """M U″ = 1: with the entropy of Fermi and Dirac of the same cap the diffusion is linear."""
    M, U = jko.Exclusion(2.0), fn.FermiDirac(2.0)
    written = Mobility(lambda s: s * (1.0 - 0.5 * s), cap=2.0, concave=True)
    for declared in (M, written):
        np.testing.assert_allclose(declared.values(S), S * (1.0 - S / 2.0), atol=1e-15)
        np.testing.assert_allclose(declared.derivative(S), 1.0 - S, atol=1e-15)
    np.testing.assert_allclose(M.values(S[1:-1]) * U.second_derivative(S[1:-1]), 1.0, rtol=1e-13)
    assert M == jko.Exclusion(2.0) != jko.Exclusion(1.0)
    assert (M.concave, M.cap) == (True, 2.0)
    assert Mobility.of("exclusion") == jko.Exclusion(1.0)


@pytest.mark.slow
def test_the_conjugate_of_the_entropy_of_fermi_and_dirac():
    """U* = c log(1 + eᵖ) by Fenchel's equality, also far out; U‴ by jax from the energy's own function."""
    U, p = fn.FermiDirac(3.0), np.array([-800.0, -3.0, 0.0, 2.0, 40.0, 800.0])
    s = U.conjugate_derivative(p)
    held = np.abs(p) < 30.0
    np.testing.assert_allclose(U.derivative(s[held]), p[held], atol=1e-13)
    np.testing.assert_allclose(U.conjugate(p)[held], (p * s - U.density(s))[held], rtol=1e-13)
    assert np.all((s >= 0.0) & (s <= 3.0))
    assert U.density(np.array([0.0, 3.0, 3.1])).tolist() == [0.0, 0.0, np.inf]
    with jax.enable_x64(True):
        for k, closed in ((1, U.derivative), (2, U.second_derivative)):
            slope = U.U
            for _ in range(k):
                slope = jax.grad(slope)
            np.testing.assert_allclose(jax.vmap(slope)(jnp.asarray(S[1:])), closed(S[1:]), rtol=1e-12)


def test_blobs_denser_than_the_cap_are_refused():
    cloud = jko.Gaussian.of(0.0, 0.1, dimension=1).sample(50, seed=0)
    for scheme in (jko.descent.Blob(), jko.descent.Trapezoidal()):
        with pytest.raises(ValueError, match=r"particles of finite energy, got inf.*FermiDirac\(0.5\)"):
            scheme.prepare(fn.FermiDirac(0.5), cloud)


@pytest.mark.parametrize(
    ("made", "error", "match"),
    [
        (lambda: Mobility(3.0), TypeError, "expected a jax function of a density, got 3.0"),
        (lambda: Mobility(lambda s: s, cap=-1.0), ValueError, "cap: expected a positive number"),
        (lambda: jko.Exclusion(0.0), ValueError, "cap: expected a positive number"),
        (lambda: Mobility(lambda s: s, concave="yes"), TypeError, "concave: expected True, False or None"),
        (lambda: Mobility(lambda s: s * (1 - s), cap=2.0), ValueError, r"M\(ρ\) ≥ 0 and finite, but"),
        (lambda: Mobility(jnp.log, cap=1.0), ValueError, r"is -inf at ρ = 0"),
        (lambda: Mobility(lambda s: s, cap=1.0), ValueError, r"expected M\(1\) = 0, got 1"),
        (lambda: Mobility(lambda s: 1.0 - s, cap=1.0), ValueError, r"expected M\(0\) = 0, got 1"),
        (lambda: Mobility(lambda s: jnp.stack([s, s])).require(1.0), TypeError, "must return one number"),
        (lambda: Mobility(lambda s: s**2, concave=True).require(1.0), ValueError, "lies below its chord"),
        (lambda: Mobility.of("exclude"), ValueError, "mobility: expected"),
        (lambda: fn.FermiDirac(-1.0), ValueError, "cap must be a positive number"),
    ],
)
def test_refusals(made, error, match):
    with pytest.raises(error, match=match):
        made()


def test_a_refusal_names_no_address_in_memory():
    with pytest.raises(ValueError, match="expected M") as refusal:
        jko.Mobility(functools.partial(lambda factor, s: factor * s, -1.0)).require(1.0)
    assert "0x" not in str(refusal.value)
