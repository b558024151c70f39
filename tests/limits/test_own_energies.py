"""A user's own energy: τ is done whole, in as many substeps as it needs, or the step fails."""

import numpy as np
import pytest

import functionals as fn
import jko
from functionals.base import Functional

FV = jko.limits.FiniteVolume()


class ThinFilm(Functional):
    """½∫|∇ρ|² on the line."""

    def energy(self, mu):
        return 0.5 * ((mu.values[1:] - mu.values[:-1]) ** 2).sum() / mu.grid.spacing[0]


class Disguised(Functional):
    """½∫ρ², known by its energy alone."""

    def energy(self, mu):
        return 0.5 * (mu.values**2).sum() * mu.grid.cell_volume


def film(grid, t, points=32):
    """Cell averages of the source solution t^{−1/5}(ω² − η²)₊²/120, η = x/t^{1/5}."""
    omega = (225.0 / 2.0) ** 0.2
    offsets = ((np.arange(points) + 0.5) / points - 0.5) * grid.spacing[0]
    eta = (grid.axes[0][:, None] + offsets) / t**0.2
    return (np.maximum(omega**2 - eta**2, 0.0) ** 2 / (120.0 * t**0.2)).mean(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("n_steps", [1, 5])
def test_a_thin_film_arrives_where_it_says(n_steps):
    grid = jko.Grid.uniform(-4.0, 4.0, 36)
    rho = jko.Density(grid, film(grid, 0.5))
    run = jko.flow(ThinFilm(), rho, FV, tau=0.5 / n_steps, n_steps=n_steps)
    moved = np.abs(rho.values - film(grid, 1.0)).sum() * grid.cell_volume
    assert moved > 0.14
    assert np.abs(run.final.values - film(grid, 1.0)).sum() * grid.cell_volume < 0.004
    assert np.all(np.diff(run.energy) < 0.0)


def test_a_diffusion_in_disguise_is_the_diffusion():
    grid = jko.Grid.uniform(-2.0, 2.0, 50)
    rho = jko.Density.gaussian(grid, 0.2, std=0.4)
    known, own = (
        jko.flow(F, rho, FV, tau=0.05, n_steps=4).final.values for F in (0.5 * fn.Power(2), Disguised())
    )
    assert np.abs(known - own).sum() < 0.01 * np.abs(known - rho.values).sum()


def test_too_many_substeps_are_a_failure():
    grid = jko.Grid.uniform(-4.0, 4.0, 160)
    rho = jko.Density(grid, film(grid, 0.5))
    run = jko.flow(ThinFilm(), rho, FV, tau=0.5, n_steps=1, throw=False)
    assert list(run.info.status) == ["not converged"]
    assert 0.0 < run.info.detail("share")[0] < 1.0
    assert run.times[-1] == 0.0
    assert np.array_equal(run.final.values, rho.values)
