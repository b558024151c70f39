"""Crowds are moved on the part of the grid that they can come to: the same as on all of it."""

import jax.numpy as jnp
import numpy as np

import functionals as fn
import jko
from jko.limits import crowd
from jko.limits.tolerances import Tolerances
from tests.limits.test_structure import assert_structure


def test_a_part_of_the_grid_gives_what_the_whole_gives(monkeypatch):
    grid = jko.Grid.uniform((-3.0, -2.0), (3.0, 2.0), (36, 24), periodic=(True, False))
    F = fn.Potential(lambda x: 3.0 * jnp.cos(jnp.pi * x[0] / 3.0) + x[1] ** 2) + fn.Cap(1.0)
    mu = jko.Density.uniform(grid, (1.4, -0.5), (2.6, 0.4))
    mu = jko.Density(grid, 0.8 * mu.values / mu.values.max())
    ends = []
    for margin in (1, 8, 100):
        monkeypatch.setattr(crowd, "TOLERANCES", Tolerances(crowd_margin=margin))
        ends.append(assert_structure(F, mu, 0.25, n_steps=2).final.values)
    assert np.abs(ends[0] - ends[2]).max() < 1e-11
    assert np.abs(ends[1] - ends[2]).max() < 1e-11
    assert (ends[2] > 0.0).sum() > (mu.values > 0.0).sum()  # and round the seam
    assert ends[2][:4].sum() > 0.0
