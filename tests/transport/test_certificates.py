"""The methods of `wasserstein` and their certificates: potentials and gaps."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, Particles, wasserstein


def disks():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (64, 64))
    squares = [np.sum((grid.centers - c) ** 2, axis=-1) for c in (0.3, 0.65)]
    pairs = zip((0.15, 0.25), squares, strict=True)
    return [Density(grid, np.maximum(r**2 - s, 0.0)).normalized() for r, s in pairs]


def test_a_density_and_a_cloud_in_the_plane_meet_in_power_cells():
    mu = Density.gaussian(Grid.uniform((-5.0, -5.0), (5.0, 5.0), (40, 40)), std=0.7)
    cloud = Gaussian([2.0, 0.0], np.eye(2)).sample(150, seed=3)
    for pair in ((mu, cloud), (cloud, mu)):
        found = wasserstein(*pair)
        assert found.method == "semi-discrete"
        assert found == pytest.approx(wasserstein(*pair, method="exact"), rel=2e-2)
        assert 0.0 <= found.gap < 1e-8
        psi, phi = (p.ravel() for p in found.potentials)
        half = 0.5 * np.sum((pair[0].points[:, None] - pair[1].points) ** 2, axis=-1)
        assert np.max(psi[:, None] + phi - half) < 1e-12
    twice = Particles(np.zeros((3, 2)))
    assert wasserstein(mu, twice) == pytest.approx(wasserstein(mu, Particles(np.zeros((1, 2)))))


@pytest.mark.parametrize("method", ["quantile", "exact", "bures", "back-and-forth"])
def test_every_method_certifies_itself(method):
    generator = np.random.default_rng(2)
    pairs = {
        "quantile": [Particles(generator.standard_normal((n, 1)) + n) for n in (20, 30)],
        "exact": [Particles(generator.standard_normal((n, 2)) + n) for n in (20, 30)],
        "bures": [
            Gaussian([0.0, 1.0], [[1.0, 0.2], [0.2, 0.5]]),
            Gaussian([3.0, 1.0], [[0.4, -0.2], [-0.2, 0.5]]),
        ],
        "back-and-forth": disks(),
    }
    mu, nu = pairs[method]
    found = wasserstein(mu, nu)
    assert found.method == method == wasserstein(mu, nu, method=method).method
    assert found.reason
    assert abs(found.gap) < (1e-5 if method == "back-and-forth" else 1e-12) * found**2
    psi, phi = found.potentials
    if method == "bures":
        x, y = generator.standard_normal((2, 50, 2))
        assert np.all(psi(x) + phi(y) <= 0.5 * np.sum((x - y) ** 2, axis=1) + 1e-12)
    elif method != "back-and-forth":
        half = 0.5 * np.sum((mu.positions[:, None] - nu.positions) ** 2, axis=-1)
        assert np.max(psi[:, None] + phi - half) < 1e-11
        assert 2.0 * (mu.weights @ psi + nu.weights @ phi) == pytest.approx(found**2)


def test_a_density_on_the_line_certifies_itself():
    line = Grid.uniform(-6.0, 6.0, 200)
    mu, nu = Density.gaussian(line, 1.0, 0.5), Density.mixture(line, [-2.0, 2.0], [0.3, 0.3])
    found = wasserstein(mu, nu)
    assert abs(found.gap) < 1e-12 * found**2
    psi, phi = found.potentials
    half = 0.5 * (line.axes[0][:, None] - line.axes[0]) ** 2
    assert np.max(psi[:, None] + phi - half) < 1e-12


def test_the_entropic_and_the_path_of_mixtures_on_request():
    grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (48, 48))
    mu, nu = Density.gaussian(grid, std=0.6), Density.gaussian(grid, mean=(0.5, 0.0), std=0.7)
    exact = np.hypot(0.5, np.sqrt(2.0) * 0.1)
    assert wasserstein(mu, nu, method="entropic", epsilon=0.05) == pytest.approx(exact, rel=1e-2)
    path = wasserstein(mu, nu, method="mixture-path")
    assert exact < path < 1.1 * exact
    with pytest.raises(ValueError, match="no potentials"):
        _ = path.potentials
