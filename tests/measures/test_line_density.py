"""Densities on edges of one's own: geometry, distances, files, pictures, and who refuses them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import CheckpointMismatch
from jko.experiment.experiment import parse
from jko.scheme import Scheme

F = fn.Entropy() + fn.Potential("quadratic")
FV = jko.limits.FiniteVolume()


def shells(n=60, d=3, std=1.0, reach=7.0):
    return jko.Gaussian.of(0.0, std, dimension=d).on(jko.Grid.radial(np.linspace(0.0, reach, n + 1), d))


def orders(errors):
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def test_geometry():
    edges = np.append(0.0, np.geomspace(1e-3, 2.0, 30))
    for d, ball in ((1, 4.0), (2, 4.0 * np.pi), (3, 32.0 * np.pi / 3.0), (4, 8.0 * np.pi**2)):
        grid = jko.Grid.radial(edges, d)
        assert grid.cell_volume.sum() == pytest.approx(ball, rel=1e-13)
        assert np.allclose(grid.radius_of(grid.volume_within(edges)), edges, rtol=1e-13)
        slope = (grid.volume_within(edges + 1e-6) - grid.volume_within(np.abs(edges - 1e-6))) / 2e-6
        assert np.allclose(grid.face_areas[1:], slope[1:], rtol=1e-5)
        assert np.all((grid.axes[0] > edges[:-1]) & (grid.axes[0] < edges[1:]))
        thin = np.linspace(edges[-2], edges[-1], 2001)
        middle = 0.5 * (thin[1:] + thin[:-1])
        centroid = np.average(middle, weights=np.diff(grid.volume_within(thin)))
        assert grid.axes[0][-1] == pytest.approx(centroid, rel=1e-7)
    line = jko.Grid.from_edges(edges - 1.0)
    assert np.allclose(line.cell_volume, np.diff(edges))
    assert np.all(line.face_areas == 1.0)


def test_integrals_moments_and_samples():
    mu, energies = shells(400), fn.Entropy()
    assert energies(mu) == pytest.approx(-1.5 * np.log(2.0 * np.pi * np.e), abs=1e-3)
    assert np.allclose(mu.covariance(), np.eye(3), atol=1e-3)
    assert np.array_equal(mu.mean(), np.zeros(3))
    cloud = mu.sample(20_000, seed=0)
    assert np.allclose(cloud.covariance(), np.eye(3), atol=0.05)
    coarse = shells(20)
    counted = jko.Density.histogram(cloud, coarse.grid)
    assert np.abs(counted.values - coarse.values) @ coarse.grid.cell_volume < 0.1
    plane = shells(200, 2).on(jko.Grid.uniform((-6.0, -6.0), (6.0, 6.0), 60))
    exact = jko.Gaussian.of(0.0, 1.0, dimension=2).on(plane.grid)
    assert np.abs(plane.values - exact.values).sum() * plane.grid.cell_volume < 1e-2
    assert jko.dissipation(F, shells(std=1.5)) == pytest.approx(3.0 * (1.5 - 1.0 / 1.5) ** 2, rel=2e-2)


def test_a_functional_of_one_s_own_is_differentiated():
    """(∫|x|²ρ)², with δF/δρ = 2|x|²∫|y|²ρ."""

    class Squared(fn.Functional):
        def energy(self, mu):
            return mu.integrate(lambda x: jnp.sum(x**2)) ** 2

    mu = shells()
    r = mu.grid.axes[0]
    assert np.allclose(Squared().first_variation(mu), 2.0 * r**2 * (mu.masses @ r**2), rtol=1e-10)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_distances_between_radial_measures(d):
    """√d |s − 1| between Gaussians, with potentials that certify it."""
    errors = []
    for n in (60, 120, 240):
        found = jko.wasserstein(shells(n, d, 1.0, 12.0), shells(n, d, 1.4, 12.0))
        errors.append(abs(float(found) - 0.4 * np.sqrt(d)))
        assert abs(found.gap) < 1e-10
    assert np.all(orders(errors) > 1.7), errors
    assert errors[-1] < 2e-3


def test_distances_on_a_line():
    line = jko.Grid.from_edges(np.sinh(np.linspace(-2.6, 2.6, 301)))
    mu, nu = jko.Gaussian.of(0.0, 0.8).on(line), jko.Gaussian.of(0.5, 1.0)
    exact = np.hypot(0.5, 0.2)
    assert float(jko.wasserstein(mu, nu)) == pytest.approx(exact, abs=2e-3)
    assert float(jko.wasserstein(nu.on(jko.Grid.uniform(-6.0, 7.0, 400)), mu)) == pytest.approx(
        exact, abs=2e-3
    )
    with pytest.raises(ValueError, match="a radial density has its distance to another"):
        jko.wasserstein(shells(), jko.Gaussian.of(0.0, 1.0, dimension=3))
    with pytest.raises(ValueError, match='edges of one\'s own there is "quantile"'):
        jko.wasserstein(shells(), shells(), "exact")


def run(mu, scheme, n_steps=4, **how):
    return jko.flow(F, mu, scheme, tau=0.1, n_steps=n_steps, **how)


@pytest.mark.parametrize("scheme", [jko.steps.Quantile(), FV], ids=["jko", "pde"])
def test_files_and_checkpoints(scheme, tmp_path):
    whole = run(shells(std=0.7), scheme)
    loaded = jko.Trajectory.load(whole.save(tmp_path / "run.nc"))
    assert loaded.final.grid == whole.final.grid
    assert np.array_equal(loaded.final.values, whole.final.values)
    run(shells(std=0.7), scheme, 2, checkpoint=tmp_path / "half")
    resumed = run(shells(std=0.7), scheme, checkpoint=tmp_path / "half")
    assert np.array_equal(resumed.final.values, whole.final.values)
    edges = np.array(whole.final.grid.faces)
    edges[3] += 1e-3
    other = jko.Gaussian.of(0.0, 0.7, dimension=3).on(jko.Grid.radial(edges, 3))
    with pytest.raises(CheckpointMismatch, match="its measure is LineDensity"):
        run(other, scheme, checkpoint=tmp_path / "half")


@pytest.mark.slow
def test_comparison_and_pictures(tmp_path):
    exact = jko.exact.OrnsteinUhlenbeck(mean=[0.0] * 3, std=0.7)
    runs = {
        "jko": run(shells(std=0.7), jko.steps.Quantile()),
        "pde": run(shells(80, std=0.7), jko.limits.FiniteVolume()),
    }
    comparison = jko.compare(runs, exact=exact)
    assert comparison.distance("L1", "pde")[-1] < 5e-3
    assert comparison.distance("W2", "jko")[-1] < 0.05
    assert 0.0 < comparison.distance("L1", "jko", "pde")[-1] < 0.1
    jko.plotting.plot_density(runs, exact, path=tmp_path / "density.png")
    jko.plotting.plot_trajectory(runs["jko"], path=tmp_path / "run.png")
    assert "60 shells" in str(runs["jko"]) or "60 shells" in repr(runs["jko"])
    assert "<svg" in runs["jko"].final._repr_html_() or "img" in runs["jko"].final._repr_html_()


@pytest.mark.long
def test_films(tmp_path):
    jko.animate(run(shells(std=0.7), FV), tmp_path / "run.gif")
    assert (tmp_path / "run.gif").stat().st_size > 1000


def test_every_other_scheme_refuses_in_a_sentence():
    mu, taken = shells(20), {"limits.FiniteVolume", "steps.Cvxpy", "steps.Quantile"}
    for name, cls in Scheme.known.items():
        if jko.LineDensity in cls.measures:
            taken.discard(name)
            continue
        if not name.startswith(("steps.", "limits.", "descent.")) or not cls.measures:
            continue
        needed = {"metric": np.eye(3)} if name == "descent.PreconditionedLangevin" else {}
        with pytest.raises(TypeError, match=f"{name} moves .*, got LineDensity"):
            cls(**needed).check(F, mu)
    assert not taken
    with pytest.raises(
        TypeError, match=r"limits\.FiniteVolume, steps\.Cvxpy, steps\.Quantile, which move it"
    ):
        jko.steps.PrimalDual().check(F, mu)
    assert isinstance(jko.steps.auto(F, mu).scheme, jko.steps.Quantile)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: jko.Grid.radial([0.0, 2.0, 1.0], 2), "edges: expected increasing radii"),
        (lambda: jko.Grid.radial([-1.0, 0.0, 1.0], 2), "radii of at least 0, got -1"),
        (lambda: jko.Grid.from_edges([0.0, 1.0]), "3 or more numbers"),
        (lambda: jko.Grid.from_edges([0.0, np.nan, 1.0]), "edges"),
        (lambda: jko.Grid.radial([0.0, 1.0, 2.0], 0), "dimension: expected a whole number"),
        (lambda: shells().grid.density(np.ones(3)), "values: expected shape"),
        (lambda: jko.Gaussian.of([1.0, 0.0, 0.0], 1.0).on(shells().grid), r"no function of \|x\| alone"),
        (lambda: jko.exact.Heat(mean=[1.0, 0.0, 0.0]).on(shells().grid), r"no function of \|x\| alone"),
        (
            lambda: jko.Density.from_function(shells().grid, lambda x: x[0] ** 2),
            r"no function of \|x\| alone",
        ),
        (lambda: jko.Density(shells().grid, shells().values), r"take grid.density\(values\)"),
        (lambda: jko.Density.kernel_estimate(shells().sample(9, 0), shells().grid), "take Density.histogram"),
    ],
)
def test_refusals(make, why):
    with pytest.raises((TypeError, ValueError), match=why):
        make()


TOML = """
[grid]
{grid}
[initial]
kind = "gaussian"
mean = [0.0, 0.0]
std = 0.7
[[functional]]
name = "entropy"
[runs.pde]
scheme = "FiniteVolume"
tau = 0.1
n_steps = 2
"""


def test_experiment_files():
    given = parse(TOML.format(grid="edges = [0.0, 0.5, 1.0, 2.0, 4.0]\nradial = 2"))
    assert given.grid == jko.Grid.radial([0.0, 0.5, 1.0, 2.0, 4.0], 2)
    equal = parse(TOML.format(grid="lower = 0.0\nupper = 4.0\ncells = 40\nradial = 2"))
    assert equal.grid == jko.Grid.radial(np.linspace(0.0, 4.0, 41), 2)
    assert isinstance(equal.runs["pde"].measure, jko.LineDensity)
    for grid, why in (
        ("edges = [0.0, 2.0, 1.0]\nradial = 2", "grid.edges: expected increasing"),
        ("edges = [0.0, 1.0, 2.0]\nradial = 0", "grid.radial: expected a whole number"),
        ("edges = [0.0, 1.0, 2.0]\nlower = 1.0", "grid.lower: unknown key"),
        ("lower = [0.0, 1.0]\nupper = 2.0\ncells = 4\nradial = 2", "grid.lower: expected two radii"),
    ):
        with pytest.raises(ValueError, match=why):
            parse(TOML.format(grid=grid))


def test_no_derivative_of_runs():
    with pytest.raises(TypeError, match="derivatives are of densities on equal cells"):
        jko.sensitivity.value_and_gradient(
            lambda mu: 0.0, lambda p: p * fn.Entropy(), 1.0, shells(20), FV, tau=0.1, n_steps=1
        )
