"""Displacement of clouds on a torus: straight and shortest ways round it, at constant speed."""

import numpy as np
import pytest

from jko import ConfinedParticles, Density, Grid, wasserstein
from jko.transport import curves, interpolate


@pytest.mark.parametrize("unit", [1.0, 1e4])
def test_a_translation_across_the_seams_is_one_at_every_time(unit):
    """Each point moves by less than a quarter of the torus, so that the translation is optimal."""
    torus = Grid.uniform((0.0, 0.0), (2.0 * unit, unit), (8, 4), periodic=True)
    x = np.random.default_rng(0).random((60, 2)) * [0.3, 0.2] * unit + np.array([1.75, 0.85]) * unit
    shift = np.array([0.4, -0.2]) * unit
    mu, nu = ConfinedParticles(x, torus), ConfinedParticles(x + shift, torus)
    middle = interpolate(mu, nu, 0.25)
    assert isinstance(middle, ConfinedParticles)
    assert wasserstein(middle, ConfinedParticles(x + 0.25 * shift, torus)) < 1e-7 * unit
    assert wasserstein(mu, nu) == pytest.approx(np.linalg.norm(shift), rel=1e-9)


def test_it_runs_at_constant_speed_between_any_clouds():
    torus = Grid.uniform((-1.0, 0.0), (1.0, 1.0), (8, 4), periodic=(True, False))
    rng = np.random.default_rng(1)
    mu, nu = (ConfinedParticles(rng.random((n, 2)) * [2.0, 1.0] - [1.0, 0.0], torus) for n in (40, 50))
    whole = wasserstein(mu, nu)
    at = {t: interpolate(mu, nu, t) for t in (0.0, 0.3, 0.7, 1.0)}
    for s, t in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        assert wasserstein(at[s], at[t]) == pytest.approx((t - s) * whole, rel=1e-6)
    with pytest.raises(ValueError, match="expected densities on one torus"):
        interpolate(
            mu,
            ConfinedParticles([[0.5, 0.5]], Grid.uniform((0.0, 0.0), (1.0, 1.0), (4, 4), periodic=True)),
            0.5,
        )


def test_the_product_curve_names_what_takes_a_torus():
    mu = Density.uniform(Grid.uniform((0.0, 0.0), (1.0, 1.0), 8, periodic=True))
    for curve in (
        lambda: curves(mu, mu, [0.5]),
        lambda: interpolate(mu, mu, 0.5, "product"),
    ):
        with pytest.raises(ValueError, match=r'transport\.interpolate with kind="displacement" or "mixture"'):
            curve()
