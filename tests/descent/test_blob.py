"""The blob method: an exact gradient, a falling energy, and the PDEs that it converges to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles
from jko.descent import Blob
from jko.descent.fields.bandwidth import root_of_spacing, silverman
from jko.descent.fields.blob import BlobField
from jko.errors import StepFailed
from tests.descent.laws import distance_to_gaussian, gaussian_quantiles, parabola_quantiles, sampling_error
from tests.first_step import first_step

CONFINED = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
INTERNAL = {
    "entropy": ((0.7, fn.Entropy()),),
    "fast": ((1.0, fn.Power(0.8)),),
    "sum": ((0.5, fn.Entropy()), (2.0, fn.Power(3)), (1.0, fn.InternalEnergy(lambda s: s**3 + s**2))),
}


def cloud(n, dimension, seed=0):
    generator = np.random.default_rng(seed)
    weights = generator.uniform(0.5, 1.5, n)
    return Particles(generator.normal(size=(n, dimension)), weights / weights.sum())


@pytest.mark.parametrize(
    ("internal", "mesh"),
    [(U, None) for U in INTERNAL.values()] + [(INTERNAL["sum"], 4096)],
    ids=[*INTERNAL, "mesh"],
)
def test_the_gradient_is_exact(internal, mesh):
    """∇_W F_ε(x_i) = (1/w_i) ∂F_ε/∂x_i, and F_ε is the sum that the docstring states."""
    mu = cloud(23, 2)
    field = BlobField(internal, (), 0.5, mesh)
    with jax.enable_x64(True):
        x, w = jnp.asarray(mu.positions), jnp.asarray(mu.weights)
        z = x[:, None] - x[None]
        kernel = jnp.exp(-2.0 * jnp.sum(z**2, axis=-1)) / (2.0 * jnp.pi * 0.25)
        density = np.asarray(kernel @ w)
        energy = sum(c * np.sum(mu.weights * U.density(density) / density) for c, U in internal)
        tolerance = 1e-12 if mesh is None else 1e-6
        assert float(field.energy(x, w)) == pytest.approx(energy, rel=tolerance)
        derivative = jax.grad(BlobField(internal, (), 0.5).energy)(x, w) / w[:, None]
        gradient = field.gradient(x, w)
    assert np.abs(gradient - derivative).max() < tolerance * np.abs(derivative).max()


@pytest.mark.slow
def test_heat_flow_of_a_gaussian():
    """W₂ at t = 0.5 from quantiles: of order above ½ in n (0.56 here), and far below that of random draws."""
    errors = []
    for n in (100, 1600):
        start = Particles(gaussian_quantiles(n, 0.0, 0.5))
        run = jko.flow(fn.Entropy(), start, Blob(), tau=0.05, n_steps=10, store_every=10)
        errors.append(distance_to_gaussian(run.final, 0.0, np.sqrt(0.25 + 1.0)))
    assert np.log(errors[0] / errors[-1]) / np.log(16.0) > 0.5
    assert errors[-1] < 0.3 * sampling_error(1600, np.sqrt(1.25))


@pytest.mark.long
@pytest.mark.parametrize("n", [150, 10_000], ids=["pairs", "mesh"])
def test_within_the_sampling_bound_of_fokker_planck(n):
    exact = jko.exact.OrnsteinUhlenbeck(mean=1.5, std=0.5).at(1.0)
    mean, std = float(exact.mean()[0]), float(np.sqrt(exact.covariance()[0, 0]))
    start = Particles(1.5 + 0.5 * np.random.default_rng(4).normal(size=(n, 1)))
    run = jko.flow(CONFINED, start, Blob(), tau=0.05, n_steps=20, store_every=20)
    assert distance_to_gaussian(run.final, mean, std) < sampling_error(n, std)
    assert run.info.dissipation.min() > 0.0


@pytest.mark.long
def test_porous_medium_against_barenblatt():
    """m = 2 on the line, the family's time from 1 to 2, from quantiles: W₂ of order 0.9 in n or better."""
    radius = (9.0) ** (1.0 / 3.0)  # of ρ = t^{-1/3}(C − x²/(12 t^{2/3}))₊ of mass 1: R³ = 9t
    errors = []
    for n in (128, 2048):
        start = Particles(parabola_quantiles((np.arange(n) + 0.5) / n, radius)[:, None])
        final = jko.flow(fn.Power(2), start, Blob(), tau=0.1, n_steps=10, store_every=10).final
        fine = parabola_quantiles((np.arange(16 * n) + 0.5) / (16 * n), radius * 2.0 ** (1.0 / 3.0))
        cloud_quantiles = np.repeat(np.sort(final.positions[:, 0]), 16)
        errors.append(np.sqrt(np.mean((cloud_quantiles - fine) ** 2)))
    assert np.log(errors[0] / errors[-1]) / np.log(16.0) > 0.9
    assert errors[-1] < 1.5e-3


@pytest.mark.slow
def test_energy_falls_in_the_plane_with_every_kind_of_term():
    functional = 0.5 * fn.Entropy() + fn.Power(2) + fn.Potential("double_well") + fn.Interaction("gaussian")
    run = jko.flow(functional, cloud(300, 2), Blob(), tau=0.02, n_steps=20)
    assert np.all(np.diff(run.energy) < 0.0)
    assert run.info.dissipation.min() > 0.0
    assert np.all(run.energy_uncertainty == 0.0)


@pytest.mark.slow
def test_order_two_in_tau():
    start = Particles(gaussian_quantiles(60, 1.0, 0.5))
    scheme = Blob(bandwidth=0.3, stages=4)
    finals = [
        jko.flow(CONFINED, start, scheme, tau=0.8 / k, n_steps=k, store_every=k).final.positions
        for k in (16, 32, 64, 512)
    ]
    errors = [np.abs(x - finals[-1]).max() for x in finals[:-1]]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders == pytest.approx([2.0, 2.0], abs=0.15)


@pytest.mark.slow
def test_mesh_and_pairs_take_the_same_step():
    mu = cloud(400, 1)
    finals = [
        jko.flow(CONFINED, mu, Blob(sums=sums), tau=0.05, n_steps=5).final.positions
        for sums in ("direct", "mesh")
    ]
    assert np.abs(finals[0] - finals[1]).max() < 1e-6


@pytest.mark.slow
def test_float32_stays_float32():
    mu = Particles(cloud(150, 1).positions.astype(np.float32))
    run = jko.flow(CONFINED, mu, Blob(), tau=0.05, n_steps=5)
    double = jko.flow(CONFINED, Particles(mu.positions.astype(float)), Blob(), tau=0.05, n_steps=5)
    assert run.final.positions.dtype == np.float32
    assert np.abs(run.final.positions - double.final.positions).max() < 1e-4


@pytest.mark.slow
def test_bandwidth_rules():
    mu = Particles(2.0 * np.random.default_rng(0).normal(size=(1000, 1)))
    deviation = float(np.sqrt(mu.covariance()[0, 0]))
    assert silverman(mu) == pytest.approx(deviation * (4.0 / 3000.0) ** 0.2)
    assert root_of_spacing(mu) == pytest.approx(deviation / np.sqrt(1000.0))
    assert Blob().prepare(fn.Entropy(), mu).start["bandwidth"] == silverman(mu)
    assert Blob().prepare(fn.Power(2), mu).start["bandwidth"] == root_of_spacing(mu)
    assert Blob(bandwidth=0.3).prepare(fn.Power(2), mu).start["bandwidth"] == 0.3


def test_a_resume_gives_the_same_bits():
    scheme, mu = Blob(), cloud(100, 1)
    problem = scheme.prepare(CONFINED, mu)
    state = problem.start
    there = mu
    for k in range(14):
        there, state, _ = scheme.step(problem, there, 0.0, 0.02, state)
        if k == 6:
            saved, data = there, dict(state)
    again = jko.State(data)
    for _ in range(7):
        saved, again, _ = scheme.step(problem, saved, 0.0, 0.02, again)
    assert np.array_equal(saved.positions, there.positions)
    assert again == state


def test_refusals():
    mu = cloud(20, 1)
    with pytest.raises(ValueError, match=r"Blob regularises.*ForwardEuler"):
        Blob().prepare(fn.Potential("double_well"), mu)
    with pytest.raises(ValueError, match="Cap"):
        Blob().prepare(fn.Entropy() + fn.Cap(1.0), mu)
    with pytest.raises(ValueError, match=r"bandwidth.*coincide"):
        Blob().prepare(fn.Entropy(), Particles(np.zeros((5, 1))))
    with pytest.raises(ValueError, match="bandwidth"):
        Blob(bandwidth=0.0)
    with pytest.raises(ValueError, match="stages"):
        Blob(stages=1)
    with pytest.raises(ValueError, match="sums"):
        Blob(sums="tree")
    with pytest.raises(ValueError, match="tau"):
        first_step(Blob(), fn.Entropy(), mu, 0.0)
    with pytest.raises(TypeError, match="Particles"):
        Blob().prepare(fn.Entropy(), jko.Gaussian([0.0], [[1.0]]))


def test_a_step_beyond_the_limit_of_its_stages_names_it():
    with pytest.raises(StepFailed, match=r"stability limit .* of 2 stages"):
        jko.flow(fn.Entropy(), cloud(50, 1), Blob(bandwidth=0.05, stages=2), tau=1.0, n_steps=1)


def wells(x):
    """−log of two Gaussians of standard deviation 0.15 at ±1."""
    return -jnp.logaddexp(-((x[0] - 1.0) ** 2) / 0.045, -((x[0] + 1.0) ** 2) / 0.045)


@pytest.mark.long
def test_two_wells_keep_their_width_and_a_bandwidth_that_is_too_wide_says_so():
    x = np.concatenate([gaussian_quantiles(60, s, 0.15) for s in (-1.0, 1.0)])
    F = fn.Entropy() + fn.Potential(wells)
    run = jko.flow(F, Particles(x), Blob(), tau=0.005, n_steps=10, store_every=10)
    right = run.final.positions[run.final.positions > 0]
    assert right.std() == pytest.approx(0.15, rel=0.05)
    assert run.info["bandwidth"][-1] < 0.1
    assert abs(run.info["variance_bias"][-1]) < 0.05
    wide = jko.flow(F, Particles(x), Blob(bandwidth=0.3), tau=0.005, n_steps=10, store_every=10)
    right = wide.final.positions[wide.final.positions > 0]
    assert right.std() < 0.08
    assert wide.info["variance_bias"][-1] < -0.5
    assert "variance at rest is off by about" in wide.info.note[-1]


@pytest.mark.parametrize("scheme", [Blob(), jko.descent.Trapezoidal()], ids=["Blob", "Trapezoidal"])
def test_particles_that_carry_no_density_are_refused(scheme):
    """At d = 50 each sees its own blob alone: a variance of 1 went to 0.1 without a word."""
    many = Particles(np.random.default_rng(0).normal(size=(200, 50)))
    with pytest.raises(ValueError, match=r"100 % of the regularised density.*descent\.Langevin"):
        jko.flow(CONFINED, many, scheme, tau=0.1, n_steps=1)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "n"), [(2, 300), (3, 300), (4, 200)])
def test_the_bias_of_a_variance_is_recorded(d, n):
    start = Particles(np.random.default_rng(0).normal(size=(n, d)))
    run = jko.flow(CONFINED, start, Blob(), tau=0.2, n_steps=12, store_every=12)
    missing = np.trace(run.final.covariance()) / d - 1.0
    assert -0.3 < missing < 0.0
    assert run.info["variance_bias"][-1] == pytest.approx(missing, abs=0.07)
