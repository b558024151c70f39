"""Maximum mean discrepancy: its value, its closed forms, its parts, and two engines on one flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Gaussian, Particles
from tests.descent.laws import gaussian_quantiles

CLOUD = Particles(np.random.default_rng(0).normal(size=(37, 2)) + 0.4)
TARGET = Particles(np.random.default_rng(1).normal(size=(300, 2)))


def gaussian_kernel(z, width=0.7):
    return np.exp(-0.5 * np.sum(z**2, axis=-1) / width**2)


def distance(z):
    return -np.linalg.norm(z, axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "parameters"),
    [(gaussian_kernel, {"width": 0.7}), (distance, {"kernel": "power", "exponent": 1.0, "strength": -1.0})],
    ids=["gaussian", "energy-distance"],
)
def test_it_is_the_double_sum_over_the_difference(kernel, parameters):
    points = np.concatenate([CLOUD.positions, TARGET.positions])
    signed = np.concatenate([CLOUD.weights, -TARGET.weights])
    by_hand = 0.5 * signed @ kernel(points[:, None] - points[None]) @ signed
    F = fn.MMD(TARGET, **parameters)
    assert F(CLOUD) == pytest.approx(by_hand, rel=1e-12)
    assert F(TARGET) == pytest.approx(0.0, abs=1e-15)
    assert F.parts.kinds == {"interaction", "potential"}
    assert np.abs(F.wasserstein_gradient(TARGET)).max() < 1e-14


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters", "by_hand"),
    [
        ("power", {"exponent": 1.0, "strength": -1.0}, lambda z, r: -z / r),
        ("power", {"exponent": 1.5, "strength": -1.0}, lambda z, r: -z / np.sqrt(r)),
        ("gaussian", {"width": 0.7}, lambda z, r: -z / 0.49 * np.exp(-0.5 * r**2 / 0.49)),
    ],
)
@pytest.mark.parametrize("dimension", [1, 3])
def test_its_gradient_is_the_double_sum_by_hand(name, parameters, by_hand, dimension):
    """Σ_j (w_j∇k(x − x_j) − b_j∇k(x − y_j)), a point of the target being a particle as well; the kernel
    said by its name and as a function of one's own."""
    x, y = (np.random.default_rng(s).normal(size=(20 + s, dimension)) for s in (0, 1))
    y[0] = x[0]
    z = x[:, None] - np.concatenate([x, y])[None]
    r = np.linalg.norm(z, axis=-1, keepdims=True)
    slopes = np.where(r > 0.0, by_hand(z, np.where(r > 0.0, r, 1.0)), 0.0)
    expected = np.einsum("j,ijd->id", np.repeat([1.0 / 20, -1.0 / 21], [20, 21]), slopes)
    named = fn.MMD(Particles(y), name, **parameters)
    own = fn.MMD(Particles(y), lambda z: named.interaction.W(z), linearly_convex=True)
    for F in (named, own):
        np.testing.assert_allclose(F.wasserstein_gradient(Particles(x)), expected, atol=1e-12)


@pytest.mark.slow
def test_a_gaussian_target_in_closed_form():
    """The nodes of the Gaussian integrate the kernel to rounding, and so does every derivative."""
    target, cloud = Gaussian.of([0.2], [0.7]), Particles(CLOUD.positions[:, :1])
    nodes = fn.Interaction("gaussian", width=0.7)
    exact, by_nodes = fn.MMD(target, width=0.7), fn.MMD(target, nodes.W, linearly_convex=True)
    assert exact(target) == pytest.approx(0.0, abs=1e-9)
    assert exact(cloud) == pytest.approx(by_nodes(cloud), abs=1e-12)
    assert np.abs(exact.wasserstein_gradient(cloud) - by_nodes.wasserstein_gradient(cloud)).max() < 1e-11
    with jax.enable_x64(True):
        curvatures = [jax.hessian(F.potential.V)(jnp.array([0.3])) for F in (exact, by_nodes)]
    assert np.abs(curvatures[0] - curvatures[1]).max() < 1e-10


def test_it_is_known_how_far_from_displacement_convex_it_is():
    """λ = −(1 + 2e^{−3/2})s/w² for the Gaussian kernel, whatever the target."""
    F = fn.MMD(TARGET, width=0.5, strength=2.0)
    assert F.displacement_modulus(2) == pytest.approx(-(1.0 + 2.0 * np.exp(-1.5)) * 2.0 / 0.25)
    assert fn.MMD(TARGET, "power", exponent=1.0, strength=-1.0).displacement_modulus(2) is None


@pytest.mark.slow
def test_particles_and_a_grid_take_the_same_way():
    """An entropy beside it, so that the flow is smooth: blob particles against finite volumes on the line."""
    target = Gaussian.of([1.0], [0.5])
    F = 0.3 * fn.Entropy() + 2.0 * fn.MMD(target, width=0.8)
    start, grid = Gaussian.of([-0.5], [0.4]), jko.Grid.uniform(-4.0, 4.0, 200)
    quantiles = Particles(gaussian_quantiles(200, -0.5, 0.4))
    blob = jko.flow(F, quantiles, jko.descent.Blob(), tau=0.1, n_steps=10, store_every=10).final
    pde = jko.flow(F, start.on(grid), jko.limits.FiniteVolume(), tau=0.02, n_steps=50, store_every=50).final
    assert float(blob.mean()[0]) == pytest.approx(float(pde.mean()[0]), abs=5e-3)
    assert float(blob.covariance()[0, 0]) == pytest.approx(float(pde.covariance()[0, 0]), abs=1e-2)


def test_a_jko_step_takes_it():
    grid = jko.Grid.uniform(-3.0, 3.0, 60)
    target = jko.Density.gaussian(grid, mean=0.8, std=0.4)
    F = 0.2 * fn.Entropy() + fn.MMD(target, width=0.6)
    run = jko.flow(
        F, jko.Density.gaussian(grid, mean=-0.6, std=0.5), jko.steps.Quantile(), tau=0.1, n_steps=3
    )
    assert np.all(run.info.dissipation > 0.0)
    assert np.all(np.diff(run.energy) < 0.0)


def test_refusals():
    with pytest.raises(TypeError, match=r"target: expected a measure .* got ndarray"):
        fn.MMD(np.zeros((5, 2)))
    for kernel, parameters in (
        ("gaussian", {"strength": -1.0}),
        ("quadratic", {}),
        (lambda z: jnp.sum(z**2), {}),
        (lambda x, y: jnp.sum(x * y), {"general": True, "linearly_convex": True}),
    ):
        with pytest.raises(ValueError, match="kernel: expected a positive definite one"):
            fn.MMD(TARGET, kernel, **parameters)
    with pytest.raises(ValueError, match="infinite at 0"):
        fn.MMD(TARGET, "logarithmic")
    with pytest.raises(ValueError, match="unknown kernel 'gauss'"):
        fn.MMD(TARGET, "gauss")
    with pytest.raises(ValueError, match="width must be a positive number"):
        fn.MMD(TARGET, width=-1.0)


@pytest.mark.slow
def test_a_target_of_another_dimension_is_refused():
    cloud = jko.Particles(np.random.default_rng(0).normal(size=(20, 2)))
    for target in (jko.Particles(np.zeros((3, 1))), jko.Gaussian(np.zeros(3), np.eye(3))):
        with pytest.raises(ValueError, match="target: expected a measure in 2D"):
            fn.MMD(target, width=0.7).energy(cloud)
    density = jko.Density.gaussian(jko.Grid.uniform(-3.0, 3.0, 30), mean=0.0, std=1.0)
    with pytest.raises(ValueError, match="target: expected a measure in 1D"):
        fn.KL(jko.Gaussian(np.zeros(3), np.eye(3))).energy(density)
