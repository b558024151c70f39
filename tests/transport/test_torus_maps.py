"""Maps and interpolations of densities on tori: translations, products, the box, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

import jko
from jko import Density, Grid
from jko.transport import brenier_map, geodesic_velocity, interpolate
from jko.transport.grids.transport import grid_transport


def torus(*cells, length=1.0, periodic=True):
    return Grid.uniform((0.0,) * len(cells), (length,) * len(cells), cells, periodic)


def bump(grid, centre, radius=0.15):
    """A wrapped paraboloid, of a radius in periods."""
    away = grid.centers / grid.upper - np.array(centre)
    away = np.where(grid.periodic, away - np.round(away), away)
    return Density(grid, np.maximum(radius**2 - np.sum(away**2, axis=-1), 0.0)).normalized()


def error(T, mu, shift):
    return np.sqrt(mu.masses.ravel() @ np.sum((T(mu.grid.points) - mu.grid.points - shift) ** 2, axis=1))


def l1(mu, nu):
    return np.abs(mu.masses - nu.masses).sum()


@pytest.mark.parametrize("unit", [1.0, 1e3])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 0.5)])
def test_a_translation_by_less_than_half_a_turn(shape, unit):
    """By .19 of a period along each axis, .15 + .15 + .19 < .5: the map, its lift over the seam, the density
    half way, and the velocity there."""
    shift, centre = np.full(len(shape), 0.19), np.full(len(shape), 0.9)
    errors, halves = [], []
    for n in (32, 64):
        grid = torus(*(int(n * s) for s in shape), length=unit)
        mu, nu, half = (bump(grid, centre + t * shift) for t in (0.0, 1.0, 0.5))
        errors.append(error(brenier_map(mu, nu), mu, unit * shift) / unit)
        halves.append(l1(interpolate(mu, nu, 0.5), half))
        if len(shape) > 1:
            velocity = geodesic_velocity(mu, nu, 0.5)
            off = half.masses.ravel() @ np.abs(velocity.reshape(-1, 2) - unit * shift).sum(axis=1)
            assert off < 0.02 * unit
    assert errors[1] < max(0.5 * errors[0], 1e-9)
    assert errors[1] < 2e-3
    assert halves[1] < max(0.5 * halves[0], 1e-9)
    assert halves[1] < 0.05


def test_the_product_of_two_circles():
    """T of densities that are products is T of each: smooth ones, positive everywhere, to second order."""
    errors, halves = [], []
    for n in (24, 48):
        waves = [
            [Density(torus(n), 1.0 + h * np.cos(2.0 * np.pi * (torus(n).axes[0] - c))) for h, c in pair]
            for pair in (((0.7, 0.1), (0.5, 0.4)), ((0.3, 0.8), (0.6, 0.9)))
        ]
        mu, nu = (Density(torus(n, n), np.outer(waves[0][k].values, waves[1][k].values)) for k in (0, 1))
        T, alone = brenier_map(mu, nu), [brenier_map(*pair) for pair in waves]
        x = mu.grid.points
        wanted = np.stack([alone[a](x[:, a])[:, 0] for a in (0, 1)], axis=1)
        errors.append(np.sqrt(mu.masses.ravel() @ np.sum((T(x) - wanted) ** 2, axis=1)))
        turns = np.array([1.0, -2.0])
        assert np.allclose(T(x + turns), T(x) + turns, atol=1e-12)
        assert T.convexity_defect < 1e-3
        middle = interpolate(mu, nu, 0.5).values
        parts = [interpolate(*pair, 0.5).values for pair in waves]
        halves.append(np.abs(middle - np.outer(*parts)).mean())
    for found in (errors, halves):
        assert np.log2(found[0] / found[1]) > 1.5, found
        assert found[1] < 3e-3


def test_away_from_the_seam_it_is_the_map_of_the_box():
    off = []
    for n in (32, 64):
        found = []
        for periodic in (False, (True, False)):
            grid = torus(n, n, periodic=periodic)
            mu, nu = bump(grid, (0.4, 0.45), 0.18), bump(grid, (0.55, 0.5), 0.14)
            found.append(brenier_map(mu, nu)(grid.points))
        off.append(np.sqrt(mu.masses.ravel() @ np.sum((found[0] - found[1]) ** 2, axis=1)))
    assert off[1] < 0.5 * off[0], off
    assert off[1] < 1e-3


def test_half_a_turn_may_go_either_way():
    """No point goes further than half a turn, and the distance is that of the way."""
    grid = torus(48, 48)
    mu, nu = bump(grid, (0.25, 0.5)), bump(grid, (0.75, 0.5))
    T = brenier_map(mu, nu)
    moved = T(grid.points) - grid.points
    assert np.abs(moved).max() < 0.5 + grid.spacing[0]
    held = mu.values.ravel() > 0.05 * mu.values.max()
    assert moved[held, 0].min() < -0.2
    assert moved[held, 0].max() > 0.2


def test_an_interpolation_is_a_path_from_the_first_to_the_second():
    grid = torus(64)
    wave = Density.from_function(grid, lambda x: 1.0 + 0.9 * jnp.cos(2.0 * jnp.pi * (x[0] - 0.05)))
    other = Density.from_function(grid, lambda x: jnp.exp(3.0 * jnp.cos(2.0 * jnp.pi * (x[0] - 0.4))))
    mu, nu = wave.normalized(), other.normalized()
    whole = float(jko.wasserstein(mu, nu))
    for t in (0.25, 0.5):
        between = interpolate(mu, nu, t)
        assert between.mass == pytest.approx(1.0, abs=1e-12)
        assert float(jko.wasserstein(mu, between)) == pytest.approx(t * whole, rel=2e-3)
        assert l1(between, interpolate(nu, mu, 1.0 - t)) < 1e-9
    assert np.allclose(interpolate(mu, nu, 0.5, "mixture").values, 0.5 * (mu.values + nu.values))


def test_refusals():
    mu = bump(torus(16, 16), (0.5, 0.5))
    with pytest.raises(ValueError, match="expected a density in a box"):
        interpolate(mu, mu, 0.5, "product")
    with pytest.raises(ValueError, match="one grid of a torus"):
        brenier_map(mu, bump(torus(18, 16), (0.5, 0.5)))
    with pytest.raises(ValueError, match="a Gaussian lives in free space"):
        brenier_map(mu, jko.Gaussian.of((0.5, 0.5), 0.1))
    room = Grid.uniform((0.0, 0.0), (1.0, 1.0), 16, inside=lambda x: x[0] < 0.7)
    with pytest.raises(ValueError, match="expected a density in a box"):
        brenier_map(Density.uniform(room), Density.uniform(room))


class Moved:
    """A positive density f and what (id + t∇φ) makes of it, both waves of a torus: φ is known, and T at
    t = 1 is optimal since D²φ > −1."""

    def __init__(self, contrast, unit):
        self.contrast, self.unit, self.size = contrast, unit, 0.007

    def slopes(self, x, y):
        a, b, c = 2.0 * np.pi * (x - 0.1), 2.0 * np.pi * (y - 0.2), 2.0 * np.pi * (x + y)
        size, wave = 2.0 * np.pi * self.size, 0.5 * np.cos(c)
        return size * (wave - np.sin(a) * np.cos(b)), size * (wave - np.cos(a) * np.sin(b))

    def hessian(self, x, y):
        a, b, c = 2.0 * np.pi * (x - 0.1), 2.0 * np.pi * (y - 0.2), 2.0 * np.pi * (x + y)
        size, wave = (2.0 * np.pi) ** 2 * self.size, 0.5 * np.sin(c)
        return size * (-wave - np.cos(a) * np.cos(b)), size * (np.sin(a) * np.sin(b) - wave)

    def density(self, t, n):
        """The density at t on n² cells, by Newton's method for where its mass came from; and ∇φ there."""
        grid = torus(n, n, length=self.unit)
        z, w = (c / self.unit for c in np.moveaxis(grid.centers, -1, 0))
        x, y = z, w
        for _ in range(30):
            (p, q), (a, c) = self.slopes(x, y), self.hessian(x, y)
            a, c, p, q = 1.0 + t * a, t * c, x + t * p - z, y + t * q - w
            x, y = x - (a * p - c * q) / (a * a - c * c), y - (a * q - c * p) / (a * a - c * c)
        a, c = self.hessian(x, y)
        waves = np.cos(2.0 * np.pi * (x - 0.3)) + np.cos(2.0 * np.pi * (y - 0.6))
        values = np.exp(self.contrast * waves) / ((1.0 + t * a) ** 2 - (t * c) ** 2)
        return Density(grid, values).normalized(), self.unit * np.stack(self.slopes(x, y), axis=-1)


@pytest.mark.parametrize(("contrast", "unit"), [(1.2, 1.0), pytest.param(2.45, 1e3, marks=pytest.mark.slow)])
def test_positive_densities_to_second_order_and_however_turned(contrast, unit):
    """Of density ratios of 140 and 19 000: the map, the way there and its velocity against the exact ones;
    the gap closes, and a turn by whole cells turns the answer."""
    case, errors = Moved(contrast, unit), []
    for n in (24, 48):
        mu, nu = (case.density(t, n)[0] for t in (0.0, 1.0))
        T, x = brenier_map(mu, nu), mu.grid.points
        off = T(x) - x - case.density(0.0, n)[1].reshape(-1, 2)
        weights = mu.masses.ravel()
        there, velocity = case.density(0.3, n)
        swift = (geodesic_velocity(mu, nu, 0.3) - velocity).reshape(-1, 2)
        middle = interpolate(mu, nu, 0.3)
        errors.append(
            [
                np.sqrt(weights @ np.sum(off**2, axis=1)) / unit,
                np.sqrt(there.masses.ravel() @ np.sum(swift**2, axis=1)) / unit,
                l1(middle, there),
                l1(interpolate(mu, nu, 0.8), case.density(0.8, n)[0]),
            ]
        )
    assert np.all(np.log2(np.divide(*errors)) > 1.6), errors
    assert np.all(np.array(errors[1]) < [3e-4, 1e-4, 5e-3, 8e-3]), errors
    found = grid_transport(mu, nu, fine=True)
    assert found.gap < 2e-4 * found.squared
    turned = [d.with_values(np.roll(d.values, (7, 11), (0, 1))) for d in (mu, nu)]
    assert np.allclose(np.roll(interpolate(*turned, 0.3).values, (-7, -11), (0, 1)), middle.values, rtol=1e-9)
    assert l1(interpolate(nu, mu, 0.7), middle) < 1e-9


def test_far_from_the_identity_the_gap_closes_and_turns_do_not_show():
    """Bumps .35 of a turn apart on either axis, of a ratio of 120: Newton's steps are damped."""
    grid = torus(48, 48)
    mu, nu = (
        Density.from_function(
            grid, lambda x, c=c: jnp.exp(1.2 * jnp.sum(jnp.cos(2.0 * jnp.pi * (x - c))))
        ).normalized()
        for c in (0.1, 0.45)
    )
    found = grid_transport(mu, nu, fine=True)
    assert found.gap < 1e-4 * found.squared
    T = brenier_map(mu, nu)
    assert T.least_stretch > 0.1
    assert T.method == "newton"
    assert T.relative_gap == found.gap / found.squared
    turned = [d.with_values(np.roll(d.values, (7, 11), (0, 1))) for d in (mu, nu)]
    middle = np.roll(interpolate(*turned, 0.5).values, (-7, -11), (0, 1))
    assert np.allclose(middle, interpolate(mu, nu, 0.5).values, rtol=1e-6)


@pytest.mark.parametrize(
    "unit", [pytest.param(1.0, marks=pytest.mark.long), pytest.param(1e3, marks=pytest.mark.slow)]
)
def test_a_map_that_turns_with_the_cells_says_so(unit):
    """Bumps of a ratio of 18 000, between which potentials ascend: the map turned back differs, by less than
    its gap allows."""
    grid = torus(48, 48, length=unit)
    mu, nu = (
        Density.from_function(
            grid, lambda x, c=c: jnp.exp(2.45 * jnp.sum(jnp.cos(2.0 * jnp.pi * (x / unit - c))))
        ).normalized()
        for c in (0.1, 0.45)
    )
    maps = [
        brenier_map(*(d.with_values(np.roll(d.values, by, (0, 1))) for d in (mu, nu)))
        for by in ((0, 0), (7, 11))
    ]
    assert [T.method for T in maps] == ["back-and-forth"] * 2
    assert 1e-4 < maps[0].relative_gap < 1e-3
    x, shift = grid.points, np.multiply((7, 11), grid.spacing)
    off = maps[1](x + shift) - shift - maps[0](x)
    rms = np.sqrt(mu.masses.ravel() @ np.sum(off**2, axis=1)) / float(jko.wasserstein(mu, nu))
    assert 1e-4 < rms < np.sqrt(maps[0].relative_gap), rms


def test_walls_across_a_torus():
    """Round one axis and between walls along the other: products of the maps of a circle and of a line."""
    errors = []
    for n in (24, 48):
        ring, line = torus(n), Grid.uniform(0.0, 1.0, n)
        parts = [
            [Density(g, 1.0 + h * np.cos(k * np.pi * (g.axes[0] - c))).normalized() for h, c in pair]
            for g, k, pair in ((ring, 2.0, ((0.7, 0.1), (0.5, 0.3))), (line, 1.0, ((0.6, 0.0), (-0.6, 0.0))))
        ]
        grid = torus(n, n, periodic=(True, False))
        mu, nu = (Density(grid, np.outer(parts[0][k].values, parts[1][k].values)) for k in (0, 1))
        x, alone = grid.points, [brenier_map(*pair) for pair in parts]
        wanted = np.stack([alone[a](x[:, a])[:, 0] for a in (0, 1)], axis=1)
        errors.append(np.sqrt(mu.masses.ravel() @ np.sum((brenier_map(mu, nu)(x) - wanted) ** 2, axis=1)))
    assert np.log2(errors[0] / errors[1]) > 1.5, errors
    assert errors[1] < 1e-3
