"""Sums and positive multiples, their parts, and the registry."""

import itertools

import numpy as np
import pytest

import functionals as fn
from functionals import registry
from tests import problems

TERMS = (fn.Entropy(), fn.Potential("quadratic"), fn.Interaction("gaussian"), fn.Power(2), fn.Cap(9.0))


def test_a_sum_is_the_sum():
    rho = problems.density(1)
    F = fn.Entropy() + 2 * fn.Potential("quadratic") + 0.5 * (fn.Power(2) + 3.0 * fn.Interaction("gaussian"))
    terms = [(1.0, TERMS[0]), (2.0, TERMS[1]), (0.5, TERMS[3]), (1.5, TERMS[2])]
    for ask in ("__call__", "first_variation", "wasserstein_gradient"):
        expected = sum(c * np.asarray(getattr(G, ask)(rho)) for c, G in terms)
        np.testing.assert_allclose(getattr(F, ask)(rho), expected, rtol=1e-13, atol=1e-13)
    assert (
        repr(F) == "Entropy() + 2 * Potential('quadratic') + 0.5 * Power(2) + 1.5 * Interaction('gaussian')"
    )
    assert F.linearly_convex is True
    assert (F + fn.Interaction("quadratic")).linearly_convex is None
    assert (2 * fn.Interaction("quadratic")).linearly_convex is False
    assert F.displacement_modulus(1) == pytest.approx(2.0 - 1.5)
    assert (F + fn.Interaction("logarithmic")).displacement_modulus(1) is None
    assert sum([fn.Entropy(), fn.Power(2)])(rho) == pytest.approx((fn.Entropy() + fn.Power(2))(rho))


@pytest.mark.parametrize("two", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.array(2.0)])
def test_multiples_by_any_number(two):
    for F in (two * fn.Entropy(), fn.Entropy() * two):
        assert F.parts.temperature == 2.0
        assert isinstance(F, fn.Functional)


@pytest.mark.parametrize("factor", [0, -1, -0.5, float("nan"), float("inf"), np.float64(-2)])
def test_other_multiples_are_refused(factor):
    with pytest.raises(
        ValueError, match=r"a functional can be multiplied by a positive number, got .*: put the sign into"
    ):
        factor * fn.Entropy()


def test_what_is_no_number_and_no_functional_is_refused():
    for make in (
        lambda: "2" * fn.Entropy(),
        lambda: fn.Entropy() * fn.Entropy(),
        lambda: fn.Entropy() + 1.0,
        lambda: 1.0 + fn.Entropy(),
        lambda: fn.Entropy() - fn.Power(2),
        lambda: np.array([1.0, 2.0]) * fn.Entropy(),
    ):
        with pytest.raises(TypeError):
            make()


def test_parts_gather_like_terms_in_any_order():
    terms = [
        2.0 * fn.Entropy(),
        fn.Power(2),
        fn.Potential("quadratic"),
        0.5 * fn.Entropy(),
        3.0 * fn.Power(2.0),
    ]
    points = np.linspace(-1.0, 1.0, 5)[:, None]
    for order in itertools.permutations(terms):
        parts = sum(order).parts
        assert parts.temperature == 2.5
        assert {repr(atom): c for c, atom in parts.internal} == {"Entropy()": 2.5, "Power(2)": 4.0}
        assert parts.kinds == {"entropy", "internal", "potential"}
        np.testing.assert_allclose(parts.potential_values(points), 0.5 * points[:, 0] ** 2)
        assert [c for c, _ in parts.of_kind("entropy")] == [2.5]


def test_every_kind_has_its_part():
    class Own(fn.Functional):
        def energy(self, mu):
            return mu.integrate(problems.bump) ** 2

    F = sum(TERMS[1:], TERMS[0]) + Own()
    parts = (2.0 * F).parts
    assert parts.kinds == {"entropy", "internal", "potential", "interaction", "constraint", "rest"}
    assert parts.constraints == (TERMS[4],)
    assert [c for c, _ in parts.interaction + parts.potential + parts.rest] == [2.0] * 3
    assert parts.without_internal.parts.kinds == {"potential", "interaction", "constraint", "rest"}
    assert fn.Entropy().parts.without_internal is None
    assert fn.Potential("quadratic").parts.internal_energy is None
    assert fn.Potential("quadratic").parts.temperature == 0.0


def test_a_divergence_dissolves_into_entropy_and_potential():
    target = problems.gaussian(2)
    parts = (0.5 * fn.KL(target)).parts
    assert parts.temperature == 0.5
    np.testing.assert_allclose(
        parts.potential_values(target.points), -0.5 * target.log_density(target.points), rtol=1e-12
    )
    assert fn.KL(target)(target) == pytest.approx(0.0, abs=1e-12)
    assert fn.KL(target).displacement_modulus(2) == pytest.approx(
        1.0 / np.linalg.eigvalsh(target.covariance()).max()
    )
    rho = problems.density(1)
    assert fn.KL(rho)(rho) == pytest.approx(0.0, abs=1e-12)
    assert fn.KL(rho)(problems.density(1, seed=3)) > 0.01
    with pytest.raises(ValueError, match=r"log ρ needs a positive density, got .* empty cells"):
        fn.KL(problems.density_with_vacuum())
    with pytest.raises(TypeError, match=r"target: expected a measure with a density.*, got Particles"):
        fn.KL(problems.particles(1))


def test_a_cap():
    rho = problems.density(1)
    peak = rho.values.max()
    assert fn.Cap(peak)(rho) == 0.0
    assert fn.Cap(0.9 * peak)(rho) == np.inf
    assert fn.Cap(lambda x: peak + x[0] ** 2)(rho) == 0.0
    assert fn.Cap(2.0).values(np.zeros((3, 1))).tolist() == [2.0] * 3
    for bad in (0.0, -1.0, np.nan, [1.0]):
        with pytest.raises(ValueError, match="cap must be a positive number or a function of a point"):
            fn.Cap(bad)


@pytest.fixture
def registry_restored(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))


def test_create_by_name():
    assert fn.create("power", m=3) == fn.Power(3)
    assert fn.create("potential", "quadratic", stiffness=2.0).modulus == 2.0
    assert fn.available() == tuple(sorted(fn.available()))
    with pytest.raises(
        ValueError,
        match=r"unknown functional 'entrpy'; known are .*cap, .*entropy, .*Did you mean 'entropy'\?",
    ) as caught:
        fn.create("entrpy")
    assert all(name in str(caught.value) for name in fn.available())
    with pytest.raises(TypeError, match=r"power\(m: .*float.*\): .*missing"):
        fn.create("power")
    with pytest.raises(TypeError, match=r"power.*unexpected keyword argument 'n'"):
        fn.create("power", m=2, n=2)


@pytest.mark.usefixtures("registry_restored")
def test_register():
    @fn.register("mine")
    class Mine(fn.Functional):
        def energy(self, mu):
            return mu.integrate(problems.bump)

    assert "mine" in fn.available()
    assert isinstance(fn.create("mine"), Mine)
    assert fn.register("mine", Mine) is Mine
    with pytest.raises(ValueError, match="the name 'entropy' is held by Entropy: choose another for Mine"):
        fn.register("entropy", Mine)


def test_a_functional_without_energy_says_so():
    class Empty(fn.Functional):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must define energy\(self, mu\)"):
        Empty()(problems.density(1))
