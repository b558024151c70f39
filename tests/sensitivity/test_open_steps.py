"""What a gradient says of steps and adjoint equations that were left above their tolerances."""

import warnings
from dataclasses import replace

import jax.numpy as jnp
import pytest

import functionals as fn
import jko
from jko.sensitivity import value_and_gradient
from jko.sensitivity.gaussian import GaussianStep
from jko.sensitivity.line import LineStep


def trap(p):
    return fn.Potential(lambda x: 0.5 * p * jnp.sum(x**2)) + 0.5 * fn.Entropy()


def found(scheme, mu):
    return value_and_gradient(
        lambda mu: jnp.sum(mu.mean() ** 2), trap, 1.3, mu, scheme, tau=0.1, n_steps=3
    ).record


@pytest.mark.slow
def test_solved_runs_say_nothing():
    mu = jko.Density.gaussian(jko.Grid.uniform(-5.0, 5.0, 60), mean=0.5, std=0.8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = found(jko.steps.MongeAmpere(), mu)
    assert record.open_steps == record.open_adjoints == ()


@pytest.mark.slow
def test_an_adjoint_above_its_tolerance_is_told(monkeypatch):
    pull, left = GaussianStep.pull, iter([1e-9, 2e-6, 1e-12])  # of the third, the second and the first step
    monkeypatch.setattr(GaussianStep, "pull", lambda *given: pull(*given)._replace(residual=next(left)))
    with pytest.warns(UserWarning, match="in 1 of 3 steps, first number 2, the adjoint"):
        record = found(jko.steps.Gaussian(), jko.Gaussian.of(0.5, 0.8))
    assert record.open_adjoints == (2,)
    assert record.open_steps == ()


@pytest.mark.slow
def test_a_step_above_the_tolerance_of_its_scheme_is_told(monkeypatch):
    step, gaps = LineStep.step, iter([1e-12, 1e-12, 1e-3])

    def open_step(*given):
        taken = step(*given)
        return taken._replace(info=replace(taken.info, relative_gap=next(gaps)))

    monkeypatch.setattr(LineStep, "step", open_step)
    mu = jko.Density.gaussian(jko.Grid.uniform(-5.0, 5.0, 60), mean=0.5, std=0.8)
    with pytest.warns(UserWarning, match="in 1 of 3 steps, first number 3, the step ended"):
        record = found(jko.steps.Quantile(), mu)
    assert record.open_steps == (3,)
    assert record.open_adjoints == ()
