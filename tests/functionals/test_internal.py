"""Internal energies: conjugates in closed form and by inversion, single and gathered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from functionals.conjugate import GatheredInternal, invert_derivative

CLOSED = [fn.Entropy(), fn.Power(2), fn.Power(3), fn.Power(1.5), fn.Power(1.1), fn.Power(0.6), fn.Power(0.5)]
OWN = [
    (fn.InternalEnergy(lambda s: s * jnp.log(s)), fn.Entropy()),
    (fn.InternalEnergy(lambda s: s**2), fn.Power(2)),
    (fn.InternalEnergy(lambda s: s**3 / 2.0), fn.Power(3)),
    (fn.InternalEnergy(lambda s: 2.0 * s**1.5), fn.Power(1.5)),
    (fn.InternalEnergy(lambda s: -2.0 * s**0.5), fn.Power(0.5)),
]
GATHERED = {
    "entropy and power 2": fn.Entropy() + 0.7 * fn.Power(2),
    "entropy and power 0.6": 0.3 * fn.Entropy() + fn.Power(0.6),
    "powers 2 and 3": fn.Power(2) + 2.0 * fn.Power(3),
    "powers 0.5 and 3": fn.Power(0.5) + fn.Power(3),
    "entropy and own": fn.Entropy() + fn.InternalEnergy(lambda s: s**4),
    "one alone": 3.0 * fn.Power(1.5),
}
S = np.geomspace(1e-8, 1e3, 60)


def everything():
    yield from ((repr(U), U) for U in CLOSED)
    yield from (("own " + repr(closed), own) for own, closed in OWN)
    yield from ((name, F.parts.internal_energy) for name, F in GATHERED.items())


EACH = pytest.mark.parametrize("U", [pytest.param(U, id=name) for name, U in everything()])


@EACH
def test_fenchel_equality(U):
    p = U.derivative(S)
    np.testing.assert_allclose(U.conjugate_derivative(p), S, rtol=1e-9)
    scale = np.abs(U.density(S)) + np.abs(p * S)
    assert np.all(np.abs(U.conjugate(p) - (p * S - U.density(S))) <= 1e-13 * scale + 1e-300)


@EACH
def test_fenchel_inequality(U):
    p = U.derivative(np.geomspace(1e-3, 10.0, 17))
    assert np.all(
        U.conjugate(p)[:, None] - (p[:, None] * S - U.density(S)) >= -1e-10 * (1 + np.abs(p[:, None] * S))
    )


@EACH
def test_the_derivatives_of_the_conjugate(U):
    p = U.derivative(np.geomspace(1e-2, 5.0, 9))
    h = 1e-5 * np.maximum(np.abs(p), 1e-4)
    slope = (U.conjugate(p + h) - U.conjugate(p - h)) / (2 * h)
    np.testing.assert_allclose(slope, U.conjugate_derivative(p), rtol=1e-6)


@EACH
def test_the_derivatives_of_the_density(U):
    s = np.geomspace(1e-2, 5.0, 9)
    h = 1e-5 * s
    np.testing.assert_allclose(
        (U.density(s + h) - U.density(s - h)) / (2 * h), U.derivative(s), rtol=1e-7, atol=1e-7
    )
    slope = (U.derivative(s + h) - U.derivative(s - h)) / (2 * h)
    np.testing.assert_allclose(slope, U.second_derivative(s), rtol=1e-7, atol=1e-7)


@EACH
def test_the_ends_of_the_line(U):
    least = U.derivative(np.array([1e-300]))[0]
    p = np.array([-np.inf, min(least, 0.0) - 1e3, -1e300])
    assert np.array_equal(U.conjugate_derivative(p) < 1e-3, [True] * 3)
    assert np.all(np.abs(U.conjugate(p)) < 0.05)
    assert U.conjugate_derivative(np.array([-np.inf]))[0] == 0.0
    assert U.conjugate(np.array([-np.inf]))[0] == 0.0
    assert U.density(np.zeros(1))[0] == 0.0
    assert np.all(U.conjugate_derivative(np.linspace(-5.0, 5.0, 41)) >= 0)
    assert U.conjugate_derivative(np.array([np.inf]))[0] == np.inf
    assert U.conjugate(np.array([np.inf]))[0] == np.inf


@pytest.mark.parametrize(("own", "closed"), OWN, ids=lambda U: repr(U))
def test_inversion_agrees_with_the_closed_form(own, closed):
    p = closed.derivative(S)
    np.testing.assert_allclose(own.conjugate_derivative(p), closed.conjugate_derivative(p), rtol=1e-12)
    np.testing.assert_allclose(own.conjugate(p), closed.conjugate(p), rtol=1e-9, atol=1e-15)


def test_vacuum_below_the_derivative_at_zero():
    for U in (fn.Power(2), fn.Power(1.5), OWN[1][0], GATHERED["powers 2 and 3"].parts.internal_energy):
        p = np.array([-3.0, -1e-9, 0.0])
        assert U.conjugate_derivative(p).tolist() == [0.0] * 3
        assert U.conjugate(p).tolist() == [0.0] * 3


def test_fast_diffusion_asks_for_infinite_density_from_zero_pressure_on():
    U = fn.Power(0.5)
    assert np.all(U.conjugate_derivative(np.array([0.0, 1.0])) == np.inf)
    assert np.all(U.conjugate(np.array([0.0, 1.0])) == np.inf)


def test_gathered_terms_add_up():
    U = GATHERED["entropy and power 2"].parts.internal_energy
    for method in ("density", "derivative", "second_derivative"):
        expected = getattr(fn.Entropy(), method)(S) + 0.7 * getattr(fn.Power(2), method)(S)
        np.testing.assert_allclose(getattr(U, method)(S), expected, rtol=1e-14)
    doubled = (fn.Entropy() + fn.Entropy()).parts.internal_energy
    np.testing.assert_allclose(doubled.conjugate(S), 2.0 * fn.Entropy().conjugate(S / 2.0), rtol=1e-14)
    alone = GatheredInternal(((2.0, fn.Power(3)),))
    several = GatheredInternal(((1.0, fn.Power(3)), (1.0, OWN[2][0])))
    p = fn.Power(3).derivative(np.geomspace(1e-3, 50.0, 20))
    np.testing.assert_allclose(alone.conjugate_derivative(p), several.conjugate_derivative(p), rtol=1e-12)


def test_an_inversion_of_a_flat_piece_and_of_a_bounded_derivative():
    hinge = invert_derivative(lambda s: np.maximum(s - 1.0, 0.0), np.array([0.5, 2.0]))
    np.testing.assert_allclose(hinge, [1.5, 3.0], rtol=1e-12)
    U = fn.InternalEnergy(lambda s: jnp.sqrt(1.0 + s**2) - 1.0)
    np.testing.assert_allclose(
        U.conjugate_derivative(np.array([-0.1, 0.0, 0.6, 2.0])), [0.0, 0.0, 0.75, np.inf], atol=1e-9
    )
    np.testing.assert_allclose(U.conjugate(np.array([-0.1, 0.6, 2.0])), [0.0, 0.2, np.inf], rtol=1e-9)


@pytest.mark.parametrize("U", CLOSED, ids=repr)
def test_numpy_gives_numpy_and_jax_gives_jax(U):
    points = {"density": S, "derivative": S, "second_derivative": S}
    points |= dict.fromkeys(("conjugate", "conjugate_derivative"), U.derivative(np.geomspace(0.1, 2.0, 5)))
    for method, at in points.items():
        ours = getattr(U, method)(at)
        assert isinstance(ours, np.ndarray)
        assert ours.dtype == np.float64
        single = jax.jit(getattr(U, method))(jnp.asarray(at, jnp.float32))
        assert isinstance(single, jax.Array)
        np.testing.assert_allclose(single, ours, rtol=1e-4, atol=1e-6)
        assert getattr(U, method)(at.reshape(-1, 5)).shape == (len(at) // 5, 5)


def test_refusals():
    with pytest.raises(ValueError, match="m must be a positive number other than 1, got -2"):
        fn.Power(-2)
    with pytest.raises(ValueError, match=r"m must differ from 1.*Entropy\(\)"):
        fn.Power(1)
    with pytest.raises(ValueError, match="got inf"):
        fn.Power(np.inf)
    with pytest.raises(ValueError, match="m must be a positive number other than 1, got 'two'"):
        fn.Power("two")
    with pytest.raises(TypeError, match="U must be a jax function of one number, got 3"):
        fn.InternalEnergy(3)
    with pytest.raises(ValueError, match="U must tend to 0 at 0, got 1 for <lambda>: subtract that constant"):
        fn.InternalEnergy(lambda s: (s - 1.0) ** 2)


def test_the_limits_at_vacuum_of_a_function_that_is_not_defined_there():
    for U, slope in (
        (lambda s: s * jnp.log(s), -np.inf),
        (lambda s: -2.0 * s**0.5, -np.inf),
        (lambda s: s**2 + s, 1.0),
    ):
        F = fn.InternalEnergy(U)
        assert F.density(np.zeros(2)).tolist() == [0.0, 0.0]
        assert F.derivative(np.array([0.0]))[0] == slope
        with jax.enable_x64(True):
            assert float(
                jax.grad(lambda s, F=F: F.density(s).sum())(jnp.array([1.0, 0.0]))[0]
            ) == pytest.approx(float(jax.grad(U)(1.0)))


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_whether_vacuum_is_filled_knows_no_unit(unit):
    """U′(0) = −∞ of a logarithm and of a root at any temperature; of powers, also weak ones, it is finite."""
    zero = np.zeros(1)
    for U in (lambda s: unit * s * jnp.log(s), lambda s: -unit * jnp.sqrt(s)):
        assert fn.InternalEnergy(U).derivative(zero)[0] == -np.inf
    for power in (1.01, 1.5, 3.0):
        U = fn.InternalEnergy(lambda s, power=power: unit * (s**power + s))
        assert U.derivative(zero)[0] == pytest.approx(unit, rel=0.2)


def test_a_function_that_is_not_convex_is_refused_and_a_declared_fact_is_checked():
    for U, where in ((lambda s: s**2 * (s - 1.0) ** 2, "0.21"), (lambda s: s**3 - 1e-6 * s**2, "1.02e-18")):
        with pytest.raises(ValueError, match=rf"U must be convex.*above its chord at s = {where}"):
            fn.InternalEnergy(U)
    bump = 0.3 * jnp.exp(-25.0)
    with pytest.raises(ValueError, match="U must be convex"):
        fn.InternalEnergy(lambda s: s**2 - 0.3 * jnp.exp(-(((s - 1.0) / 0.2) ** 2)) + bump)
    # r^d U(r^{−d}) = −2 r^{d/2}: convex up to d = 2
    root = fn.InternalEnergy(lambda s: -2.0 * s**0.5, displacement_convex=True)
    assert [root.displacement_modulus(d) for d in (1, 2, 3)] == [0.0, 0.0, None]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_a_convex_function_is_taken_in_any_unit_and_whatever_it_cancels(scale):
    for U in (
        lambda s: scale * (jnp.sqrt(1.0 + s**2) - 1.0),
        lambda s: scale * (jnp.exp(s) - 1.0 - s),
        lambda s: scale * s * jnp.log1p(s),
        lambda s: scale * jnp.maximum(s - 1.0, 0.0),
    ):
        assert fn.InternalEnergy(U, displacement_convex=True).displacement_modulus(1) == 0.0
