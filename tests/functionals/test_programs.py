"""How many programs are compiled: one for sizes that are near, at either precision, for every strength."""

import logging
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals import by_numpy, pointwise
from functionals.conjugate import Ladder, invert_derivative
from functionals.tolerances import TOLERANCES


@pytest.fixture
def all_by_xla(monkeypatch):
    """Nothing is left to numpy."""
    monkeypatch.setattr(by_numpy, "TOLERANCES", replace(TOLERANCES, few_operations=0))


@pytest.fixture
def compiled(caplog):
    """How many programs were compiled since the last time it was asked."""
    caplog.set_level(logging.WARNING)
    seen = 0
    with jax.log_compiles(True):

        def count():
            nonlocal seen
            starts = [r for r in caplog.records if r.getMessage().startswith("Compiling jit(")]
            new, seen = len(starts) - seen, len(starts)
            return new

        yield count


def waves(x):
    return jnp.sum(jnp.cos(2.5 * x) + 0.15 * x**2)


@pytest.mark.usefixtures("all_by_xla")
def test_sizes_that_are_near_share_a_program(compiled):
    points = np.linspace(-1.0, 1.0, 96)[:, None]
    whole = pointwise.values(waves, points)
    assert compiled() == 1
    for n in (65, 80, 95):
        assert np.array_equal(pointwise.values(waves, points[:n]), whole[:n])
    assert compiled() == 0
    assert pointwise.values(waves, points[:0]).shape == (0,)


def test_a_function_at_few_points_is_not_compiled(compiled):
    x = np.linspace(-1.0, 1.0, 90)[:, None]
    np.testing.assert_allclose(pointwise.values(uneven, x), x[:, 0] ** 3 - np.exp(x[:, 0]), rtol=1e-14)
    np.testing.assert_allclose(pointwise.gradients(uneven, x), 3.0 * x**2 - np.exp(x), rtol=1e-14)
    assert compiled() == 0


def uneven(x):
    return x[0] ** 3 - jnp.exp(x[0])


def test_a_program_of_few_points_is_no_larger_than_half_as_much_again():
    sizes = np.arange(17, 8192)
    ratio = np.array([pointwise.program_size(int(n)) for n in sizes]) / sizes
    assert ratio.min() == 1.0
    assert ratio.max() < 1.5
    assert pointwise.program_size(8192) == 8192


@pytest.mark.usefixtures("all_by_xla")
def test_an_energy_and_its_potential_share_a_program(compiled):
    grid = jko.Grid.uniform(-3.0, 3.0, 40)
    F, mu = 0.5 * fn.Potential(lambda x: waves(x) + jnp.sum(x**4)), jko.Density.gaussian(grid, 0.0, 0.5)
    F.parts.potential_values(grid.points)
    assert compiled() == 1
    F(mu)
    assert compiled() == 0


@pytest.mark.usefixtures("all_by_xla")
def test_strengths_of_one_potential_share_the_programs_of_a_step_on_the_line(compiled):
    grid = jko.Grid.uniform(-3.0, 3.0, 40)
    mu = jko.Density.gaussian(grid, 0.3, 0.5)

    def step(strength):
        F = fn.Entropy() + strength * fn.Potential(waves)
        return jko.flow(F, mu, jko.steps.Quantile(), tau=0.1, n_steps=1).final.mean()[0]

    compiled()
    first = step(0.5)
    assert compiled() <= 2  # V at points, and V with its derivatives
    assert abs(step(1.5) - first) > 0.01
    assert compiled() == 0


@pytest.mark.parametrize(
    "slope",
    [
        lambda s: s**3 / 3.0 + s,
        lambda s: np.log(s) + 2.0 * s,
        lambda s: np.maximum(s - 1.0, 0.0),
        lambda s: -1.0 / np.sqrt(s),
        lambda s: s / np.sqrt(1.0 + s * s),
        lambda s: s + (s > 0.5),
    ],
)
def test_a_slope_is_inverted_to_rounding_in_few_evaluations(slope):
    asked = 0

    def counted(s):
        nonlocal asked
        asked += 1
        return slope(s)

    s = np.exp(np.random.default_rng(0).uniform(-6.0, 2.0, 200))
    with np.errstate(over="ignore"):
        ladder = Ladder.of(slope)
    for rungs, most in ((ladder, 16), (None, 40)):
        asked = 0
        found = invert_derivative(counted, slope(s), rungs)
        assert np.allclose(slope(found), slope(s), rtol=1e-14, atol=1e-15)
        assert asked <= most
    ends = invert_derivative(counted, np.array([-np.inf, np.inf, np.nan]), ladder)
    assert (ends[0], ends[1]) == (0.0, np.inf)
