"""What transport is asked for with the wrong thing: one sentence that names the argument, or the answer."""

import functools

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, Particles
from jko.transport import (
    benamou_brenier,
    brenier_map,
    curves,
    cut,
    geodesic_velocity,
    graded,
    inf_convolution,
    interpolate,
    moreau_envelope,
    number_of_modes,
    remap,
    schrodinger_bridge,
    sinkhorn,
    wasserstein,
    wasserstein_envelope,
)

GRID = Grid.uniform(-4.0, 4.0, 32)
PLANE = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (16, 16))
MU, NU = Density.gaussian(GRID, 0.0, 1.0), Density.gaussian(GRID, 1.0, 0.7)
ONE, TWO = Particles(np.array([[0.5, 0.1]])), Particles(np.array([[0.0, 0.0], [1.0, 0.0]]))
TIMES = {
    "interpolate": lambda t: interpolate(MU, NU, t),
    "at": lambda t: run().at(t),
    "marginal": lambda t: bridge().marginal(t),
    "drift": lambda t: bridge().drift(np.zeros((1, 1)), t),
}


@functools.cache
def bridge():
    return schrodinger_bridge(MU, NU, 0.1)


@functools.cache
def run():
    return benamou_brenier(MU, NU, 4, tolerance=1e-3)


@pytest.mark.parametrize("name", TIMES)
def test_times(name):
    for odd in ("a", None, [0.5], True, np.array([0.5]), 1j):
        with pytest.raises(TypeError, match="t: expected a number between 0 and 1"):
            TIMES[name](odd)
    for odd in (-0.1, 2, np.nan):
        with pytest.raises(ValueError, match="t: expected a number between 0 and 1"):
            TIMES[name](odd)
    for fine in (0, np.float32(0.5), np.array(0.25)):
        TIMES[name](fine)


@pytest.mark.parametrize("odd", [[[0.2, 0.3]], [], [0.5, 2.0], -1.0])
def test_times_of_curves(odd):
    with pytest.raises(ValueError, match=r"times: expected numbers between 0 and 1, a list or array \[k\]"):
        curves(MU, NU, odd)


@pytest.mark.parametrize("odd", [1, 0, -3])
def test_too_few_times(odd):
    with pytest.raises(ValueError, match="n_times: expected a whole number of at least 2"):
        benamou_brenier(MU, NU, odd)
    with pytest.raises(TypeError, match=r"n_times: expected a whole number, got 2\.5"):
        benamou_brenier(MU, NU, 2.5)


def test_points_that_are_none():
    for ask in (brenier_map(MU, NU), lambda x: bridge().drift(x, 0.5)):
        with pytest.raises(TypeError, match="x: expected an array of numbers, got NoneType"):
            ask(None)
        with pytest.raises(ValueError, match="x: expected points of shape"):
            ask(np.zeros((3, 2)))


def test_modes_of_points():
    assert number_of_modes(ONE) == number_of_modes(Particles(np.zeros((3, 4)))) == 1
    apart = np.array([[0.0, 2.0], [0.1, 2.0], [0.05, 2.0], [9.0, 2.0], [9.1, 2.0], [9.05, 2.0]])
    assert number_of_modes(Particles(apart)) == number_of_modes(Particles(apart[:, :1])) == 2
    assert type(number_of_modes(MU)) is int
    with pytest.raises(TypeError, match="mu: expected a Density, Particles or a Gaussian, got list"):
        number_of_modes([[1.0, 2.0]])
    with pytest.raises(ValueError, match="prominence: expected less than 1"):
        number_of_modes(MU, prominence=2)


def test_curves_of_one_point():
    found = curves(ONE, TWO, [0.0, 0.5, 1.0])
    assert found.kinetic_energy["displacement"] == pytest.approx(np.full(3, 0.26))
    assert found.kinetic_energy["product"] == pytest.approx(np.full(3, 0.26))
    assert list(curves(ONE, ONE, [0.0, 1.0]).modes["displacement"]) == [1, 1]


@pytest.mark.parametrize("odd", ["abc", None, 1j * np.zeros(32), [[1, 2], [3]]])
def test_functions_on_a_grid_that_are_none(odd):
    with pytest.raises(TypeError, match="f: expected an array of numbers at the grid's cells"):
        moreau_envelope(odd, 0.5, GRID)
    with pytest.raises(TypeError, match="g: expected an array of numbers at the grid's cells"):
        inf_convolution(np.zeros(32), odd, GRID)


def test_envelopes_have_walls():
    with pytest.raises(ValueError, match="grid: expected a density in a box"):
        moreau_envelope(np.zeros(8), 0.5, Grid.uniform(0.0, 1.0, 8, periodic=True))
    with pytest.raises(TypeError, match=r"must return one number for a point of shape \(2,\)"):
        moreau_envelope(lambda x: x, 0.5, PLANE)


@pytest.mark.parametrize(
    "call", [brenier_map, wasserstein, lambda a, b: sinkhorn(a, b, 1.0), benamou_brenier]
)
def test_measures_that_are_none(call):
    for odd in (None, [1.0, 2.0], np.ones(3), 3):
        with pytest.raises(TypeError, match="mu: expected a Density, Particles or a Gaussian"):
            call(odd, MU)
    with pytest.raises(ValueError, match="the same dimension, got 1 and 2"):
        call(MU, ONE)


def test_what_cannot_be_put_together_says_what_to_type():
    cloud = MU.sample(5, 0)
    with pytest.raises(ValueError, match=r"make the other a cloud by .sample\(n, seed\)"):
        interpolate(MU, cloud, 0.5)
    with pytest.raises(ValueError, match=r"Density.histogram\(nu.sample\(n, seed\), mu.grid\)"):
        interpolate(MU, Density.gaussian(Grid.uniform(-4.0, 4.0, 40), std=1.0), 0.5)
    with pytest.raises(ValueError, match=r"use mu.on\(grid\)"):
        benamou_brenier(Gaussian.of([0.0] * 3, 1.0), Gaussian.of([1.0] * 3, 1.0))
    with pytest.raises(ValueError, match="on the line take brenier_map"):
        geodesic_velocity(MU, NU, 0.5)


def test_nothing_prints_its_arrays():
    plane = Density.gaussian(PLANE, std=1.0), Density.gaussian(PLANE, mean=(0.5, 0.0), std=1.1)
    for thing in (
        run(),
        bridge(),
        curves(MU, NU, 0.5),
        sinkhorn(MU, NU, 0.5),
        brenier_map(*plane),
        brenier_map(MU, NU),
    ):
        assert len(repr(thing)) < 500


def test_refusals_that_name_the_argument():
    with pytest.raises(ValueError, match="cells: expected a whole number of at least 1"):
        graded(*cut(MU), 0)
    with pytest.raises(ValueError, match="expected n \\+ 1 edges of n masses"):
        remap([0.0, 1.0], [1.0, 2.0], GRID)
    with pytest.raises(TypeError, match="F: expected a Functional"):
        wasserstein_envelope(None, 0.1, MU, None)
    with pytest.raises(TypeError, match="debias: expected True or False"):
        sinkhorn(MU, NU, 1.0, debias="no")
    with pytest.raises(ValueError, match="squared distances overflow"):
        wasserstein(TWO, Particles(np.array([[1e200, 0.0], [2e200, 1.0]])))


def test_entropic_gaussians_at_any_temperature():
    pair = Gaussian.of([0.0], 1.0), Gaussian.of([2.0], 0.7)
    for epsilon in (1e8, 1e18, 1e150, 1e300):
        assert sinkhorn(*pair, epsilon).value == pytest.approx(4.0, rel=1e-7)
        assert np.isfinite(schrodinger_bridge(*pair, epsilon).cost)
