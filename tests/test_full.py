"""A box that is full: nothing moves, whatever engine is asked, and nothing is left open."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.descent import BirthDeath
from jko.full import is_full
from jko.limits import FiniteVolume
from jko.steps import (
    Adaptive,
    BackAndForth,
    Cvxpy,
    Entropic,
    FisherRao,
    HellingerKantorovich,
    Linearized,
    MongeAmpere,
    PrimalDual,
    Quantile,
    SecondOrder,
    SpeciesInTurn,
    VariationalBDF2,
)
from jko.steps.choice import Chosen

UNDER_A_CAP = (FiniteVolume(), Cvxpy(), PrimalDual(), PrimalDual(slices=2), Entropic(), Quantile())
OF_ENERGIES = (BackAndForth(), Linearized(), MongeAmpere(), SecondOrder(BackAndForth()))


def grid_of(dimension, unit, place):
    def inside(x):
        return jnp.abs(x[0] - 0.5 * unit) > 0.2 * unit

    ends = (0.0,) * dimension, (unit,) * dimension
    return jko.Grid.uniform(*ends, 30, periodic=place == "torus", inside=inside if place == "room" else None)


def full(grid):
    return jko.Density(grid, np.where(grid.inside, 1.0, 0.0)).normalized()


@pytest.mark.parametrize("unit", [1.0, 1e4])
@pytest.mark.parametrize("place", ["box", "torus", "room"])
@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("bound", [fn.FermiDirac, fn.Cap])
def test_nothing_moves_in_a_box_that_is_full(bound, dimension, place, unit):
    mu = full(grid_of(dimension, unit, place))
    F = bound(float(mu.values.max())) + fn.Potential(lambda x: 3.0 * jnp.sin(2.0 * jnp.pi * x[0] / unit))
    schemes = [s for s in UNDER_A_CAP + OF_ENERGIES if F.parts.kinds <= getattr(s, "scheme", s).takes]
    assert len(schemes) == len(UNDER_A_CAP) + (bound is fn.FermiDirac) * len(OF_ENERGIES)
    for scheme in schemes:
        if isinstance(scheme, Quantile) and (dimension == 2 or (place == "torus" and bound is fn.Cap)):
            continue
        inner = getattr(scheme, "scheme", scheme)
        if place == "room" and not inner.rooms:
            continue
        run = jko.flow(F, mu, scheme, tau=0.1 * unit**2, n_steps=2)
        np.testing.assert_array_equal(run.final.values, mu.values, err_msg=repr(scheme))
        assert run.info.gap.max() == 0.0 or isinstance(scheme, FiniteVolume), scheme
        assert set(run.info.status) == {"converged"}


@pytest.mark.parametrize(
    "scheme",
    [
        FisherRao(conserving=True),
        SecondOrder(Quantile()),
        VariationalBDF2(Quantile()),
        Adaptive(Quantile()),
        Chosen(Quantile(), "asked"),
        HellingerKantorovich(Quantile(), reaction=FisherRao(conserving=True)),
    ],
)
def test_wrappers_of_a_full_box_stay_and_so_does_mass_that_is_held(scheme):
    mu = full(grid_of(1, 1.0, "box"))
    F = fn.FermiDirac(float(mu.values.max())) + fn.Potential(lambda x: 3.0 * x[0])
    run = jko.flow(F, mu, scheme, tau=0.1, n_steps=2)
    np.testing.assert_allclose(run.final.values, mu.values, rtol=1e-12)
    both = jko.Species(a=mu, b=mu)
    run = jko.flow(fn.on("a", F) + fn.on("b", F), both, SpeciesInTurn(Quantile()), tau=0.1, n_steps=1)
    np.testing.assert_array_equal(run.final["b"].values, mu.values)


def test_a_wrapper_knows_the_obstacle_of_its_scheme_and_a_reaction_moves_a_full_box():
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), 8)
    pillar = grid.centers[..., 0] < 0.3
    mu = jko.Density(grid, np.where(pillar, 0.0, 1.0)).normalized()
    F = fn.FermiDirac(float(mu.values.max())) + fn.Potential("quadratic")
    scheme = SecondOrder(BackAndForth(obstacle=pillar))
    run = jko.flow(F, mu, scheme, tau=0.1, n_steps=1)
    np.testing.assert_array_equal(run.final.values, mu.values)
    assert scheme.displacement_modulus(F, mu) is None
    line = full(grid_of(1, 1.0, "box"))
    F = fn.Cap(float(line.values.max())) + fn.Potential(lambda x: 1.0 + x[0])
    making = (FiniteVolume(reaction=F), PrimalDual(length=1.0), Cvxpy(length=1.0), FisherRao(), BirthDeath())
    assert all(scheme.changes_mass for scheme in (*making, HellingerKantorovich(FiniteVolume())))
    keeping = (*UNDER_A_CAP, FisherRao(conserving=True), BirthDeath(conserving=True), SecondOrder(Quantile()))
    assert not any(scheme.changes_mass for scheme in keeping)
    for dying in (PrimalDual(length=1.0), FiniteVolume(reaction=F)):
        assert jko.flow(F, line, dying, tau=0.1, n_steps=1).final.mass < 0.95 * line.mass


def test_a_box_is_full_but_for_obstacles_and_never_with_doors():
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), 8)
    pillar = grid.centers[..., 0] < 0.3
    mu = jko.Density(grid, np.where(pillar, 0.0, 1.0)).normalized()
    F = fn.Cap(float(mu.values.max())) + fn.Potential("quadratic")
    run = jko.flow(F, mu, PrimalDual(obstacle=pillar), tau=0.1, n_steps=1)
    np.testing.assert_array_equal(run.final.values, mu.values)
    assert not is_full(F.parts, mu)
    doors = jko.Grid.uniform(0.0, 1.0, 8, doors=lambda x: x[0] > 0.9)
    crowd = jko.Density(doors, np.where(doors.doors, 0.0, 1.0))
    assert not is_full(fn.Cap(1.0).parts, crowd)


def test_more_than_a_full_box_is_refused():
    mu = full(grid_of(1, 1.0, "box"))
    for scheme in (PrimalDual(), Entropic(), Quantile()):
        with pytest.raises(ValueError, match=r"cap: .* holds a mass of 0.9"):
            jko.flow(fn.Cap(0.9), mu, scheme, tau=0.1, n_steps=1)
