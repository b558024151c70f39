"""The entropic step with interactions, under caps and in other units: what it says is true."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.steps import Entropic
from tests.limits.test_caps import QUADRATIC, ellipse, overlap
from tests.limits.test_units import PROBLEMS, final
from tests.steps.grid_steps import distance, take_step

LINE = jko.Grid.uniform(-4.0, 4.0, 100)
RHO = jko.Density.gaussian(LINE, 0.5, std=0.6)


def bump(strength):
    return fn.Interaction("gaussian", strength=strength, width=0.5)


@pytest.mark.long
@pytest.mark.parametrize("tau", [1.0, 1e3])
@pytest.mark.parametrize(
    "F",
    [0.2 * fn.Entropy() + QUADRATIC + bump(3.0), 0.1 * fn.Entropy() + bump(-3.0)],
    ids=["repulsion", "attraction"],
)
def test_passes_reach_the_minimiser(F, tau):
    """The Lagrangian engine's step, an independent computation, at both signs and at any τ."""
    new, info = take_step(Entropic(), F, RHO, tau)
    reference, _ = take_step(jko.steps.Quantile(), F, RHO, tau)
    assert info.status == "converged"
    assert F(new) == pytest.approx(F(reference), abs=0.01 * (F(RHO) - F(reference)))
    assert distance(new, reference) < 0.05


@pytest.mark.slow
def test_passes_that_do_not_settle_are_not_converged():
    """A repulsion that a potential alone holds: at τ = 1e3 the step is all but linear in each pass."""
    F = QUADRATIC + bump(3.0)
    _, info = take_step(Entropic(interaction_passes=20), F, RHO, 1e3)
    assert info.status == "not converged"
    assert "interaction may still lower the objective" in info.note
    new, info = take_step(Entropic(), F, RHO, 0.3)
    assert info.status == "converged"
    assert info.dissipation >= 0.0
    assert F(new) < F(RHO)


def test_one_pass_is_not_enough_and_says_so():
    F = 0.2 * fn.Entropy() + QUADRATIC + bump(3.0)
    _, info = take_step(Entropic(interaction_passes=1), F, RHO, 1.0)
    assert info.status == "not converged"
    assert info.gap > 0.01


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "own"])
def test_other_units(name):
    reference, info = final(Entropic(), name, 1, 1.0, 1.0)
    for length, energy in ((1e-6, 1.0), (1e6, 1e-12), (1.0, 1e12)):
        found, again = final(Entropic(), name, 1, length, energy)
        assert np.abs(found - reference).max() < 1e-9 * reference.max(), (length, energy)
        assert np.allclose(again.dissipation / energy, info.dissipation, rtol=1e-6, atol=1e-9)
        assert list(again.status) == list(info.status)


@pytest.mark.slow
def test_the_corridor_of_a_crowd():
    errors = []
    for cells in (150, 300, 600):
        grid = jko.Grid.uniform(0.0, 1.5, cells)
        F = fn.Potential(lambda x: x[0]) + fn.Cap(1.0)
        start = jko.Density(grid, 0.5 * overlap(grid, 0.0, 1.0))
        run = jko.flow(F, start, Entropic(), tau=0.0125, n_steps=20, store_every=20)
        exact = overlap(grid, 0.0, 0.25) + 0.5 * overlap(grid, 0.25, 0.75)
        errors.append(np.abs(run.final.values - exact).sum() * grid.cell_volume)
    assert errors[-1] < 0.01
    assert np.log2(errors[0] / errors[-1]) > 2 * 0.9, errors


@pytest.mark.slow
def test_the_ellipse_of_a_crowd():
    grid = jko.Grid.uniform((-1.25,) * 2, (1.25,) * 2, 96)
    F = fn.Potential(lambda x: 0.5 * jnp.sum(x**2)) + fn.Cap(1.0)
    run = jko.flow(F, jko.Density(grid, ellipse(grid, 1.0, 0.5)), Entropic(), tau=0.05, n_steps=10)
    a = np.sqrt(0.5 * np.exp(np.arcsinh(0.75 * np.exp(-1.0))))
    exact = np.array([a**2, (0.5 / a) ** 2]) / 4.0
    assert np.all(np.abs(np.diag(run.final.covariance()) / exact - 1.0) < 0.015)
