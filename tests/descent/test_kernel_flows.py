"""Stein variational descent and noise injection: their identities, orders, energies and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles
from jko.descent import SVGD, ForwardEuler, NoiseInjection
from jko.descent.fields.program import field, outside_terms
from jko.descent.fields.stein import SteinField, median_bandwidth
from jko.errors import StepFailed
from tests.descent.laws import gaussian_quantiles
from tests.first_step import first_block

BANANA = fn.Potential(lambda x: 0.5 * x[0] ** 2 + 2.0 * (x[1] - 0.3 * x[0] ** 2) ** 2)
F = 0.7 * fn.Entropy() + BANANA
TARGET = Particles(np.random.default_rng(8).normal(size=(40, 2)) + 1.0)
DISCREPANCY = fn.MMD(TARGET, width=0.9)


def cloud(n=30, dtype=np.float64):
    generator = np.random.default_rng(0)
    weights = generator.uniform(0.5, 1.5, n)
    return Particles(generator.normal(size=(n, 2)).astype(dtype), (weights / weights.sum()).astype(dtype))


def kernels(z, h):
    s = jnp.sum(z**2) / h**2
    return {"gaussian": jnp.exp(-0.5 * s), "inverse multiquadric": (1.0 + s) ** -0.5}


@pytest.mark.parametrize("kernel", ["gaussian", "inverse multiquadric"])
def test_the_velocity_and_what_it_dissipates(kernel):
    """v by differentiating the kernel, and S = −∫(g·v − θ∇·v)dα, with α held while x moves in ∇·v."""
    mu, h, theta = cloud(), 0.8, F.parts.temperature
    flow = SteinField(field(outside_terms(F.parts)), theta, kernel, h)

    @jax.jit
    def both(x, w):
        g = flow.drift.gradient(x, w)

        def velocity(point):
            k, slopes = jax.vmap(jax.value_and_grad(lambda z: kernels(z, h)[kernel]))(point - x)
            return -(w * k) @ g - theta * w @ slopes

        by_hand = jax.vmap(velocity)(x)
        divergence = jax.vmap(lambda point: jnp.trace(jax.jacfwd(velocity)(point)))(x)
        dissipated = -jnp.sum(w * (jnp.sum(g * by_hand, axis=1) - theta * divergence))
        return *flow.velocity(x, w), by_hand, dissipated

    with jax.enable_x64(True):
        v, stein, by_hand, dissipated = both(mu.positions, mu.weights)
    assert np.abs(v - by_hand).max() < 1e-12
    assert float(stein) == pytest.approx(float(dissipated), rel=1e-12)
    assert stein > 0.0


@pytest.mark.slow
def test_the_energy_of_a_gaussian_falls_at_the_rate_that_is_recorded():
    """Along v, F of a line of quantiles by the density of their spacing; S against −dF/dt."""
    functional = fn.Entropy() + fn.Potential("quadratic")
    n = 800
    mu = Particles(gaussian_quantiles(n, 1.0, 0.6))
    scheme = SVGD(bandwidth=0.5)
    problem = scheme.prepare(functional, mu)
    state = problem.start

    def energy(particles):
        x = particles.positions[:, 0]
        return -np.mean(np.log((n - 1) * np.diff(x))) - np.log(n / (n - 1)) + 0.5 * np.mean(x**2)

    tau = 1e-4
    moved, _, records = scheme.advance(problem, mu, 0.0, tau, 1, state)
    assert (energy(mu) - energy(moved)) / tau == pytest.approx(records.stein_discrepancy[0], rel=0.02)


@pytest.mark.slow
def test_svgd_comes_to_the_target():
    functional, start = (
        fn.KL(jko.Gaussian.of(0.0, 1.0, dimension=2)),
        Particles(cloud(150).positions * 0.5 + 2.0),
    )
    run = jko.flow(
        functional, start, SVGD(kernel="inverse multiquadric"), tau=0.3, n_steps=150, store_every=50
    )
    assert np.all(np.diff(run.energy) < 0.02)
    assert run.energy[-1] < 0.1 * run.energy[0]
    assert run.info.stein_discrepancy[-1] < 0.05 * run.info.stein_discrepancy[0]
    assert np.all(run.info.stein_discrepancy > 0.0)
    assert np.abs(run.final.mean()).max() < 0.1
    assert np.abs(run.final.covariance() - np.eye(2)).max() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "functional"),
    [(SVGD(bandwidth=0.8), F), (NoiseInjection(level=1e-9), DISCREPANCY)],
    ids=["SVGD", "NoiseInjection"],
)
def test_order_one_in_tau(scheme, functional):
    finals = [
        jko.flow(functional, cloud(), scheme, tau=0.8 / k, n_steps=k, store_every=k).final.positions
        for k in (8, 16, 32, 512)
    ]
    errors = [np.abs(x - finals[-1]).max() for x in finals[:-1]]
    expected = np.log2([(1 / 8 - 1 / 512) / (1 / 16 - 1 / 512), (1 / 16 - 1 / 512) / (1 / 32 - 1 / 512)])
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx(expected, abs=0.1)
    assert scheme.order == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "functional"),
    [(SVGD(), F), (NoiseInjection(decay=0.4), DISCREPANCY)],
    ids=["SVGD", "noise"],
)
def test_a_resume_gives_the_same_bits(scheme, functional, tmp_path):
    mu, path = cloud(dtype=np.float32), tmp_path / "run.ckpt"
    whole = jko.flow(functional, mu, scheme, tau=0.05, n_steps=6)
    jko.flow(functional, mu, scheme, tau=0.05, n_steps=2, checkpoint=path)
    resumed = jko.flow(functional, mu, scheme, tau=0.05, n_steps=6, checkpoint=path)
    assert whole.final.positions.dtype == np.float32
    assert np.array_equal(resumed.final.positions, whole.final.positions)
    assert np.array_equal(resumed.energy, whole.energy)


@pytest.mark.slow
def test_noise_injection_takes_gradients_beside_the_particles():
    """With the noise of a step known: ∇k∗(α − ν) at x + βξ, moved from x."""
    from jko.descent.blocks.noise import increments
    from jko.loops.random_keys import key_of

    mu, scheme, tau = cloud(), NoiseInjection(level=0.6, decay=0.5, seed=4), 0.2
    functional = DISCREPANCY
    problem = scheme.prepare(functional, mu)
    state = problem.start
    there = mu
    for number in range(2):
        with jax.enable_x64(True):
            xi = np.asarray(increments("gaussian", key_of(4), number, (2, mu.n), np.float64)).T
        beside = there.positions + 0.6 / (1.0 + number * tau) ** 0.5 * xi

        def pull(y, w, at=beside):
            z = at[:, None] - y[None]
            k = np.exp(-0.5 * np.sum(z**2, axis=-1) / 0.81) * w
            return -np.einsum("ij,ijd->id", k, z) / 0.81

        slope = pull(there.positions, mu.weights) - pull(TARGET.positions, TARGET.weights)
        before = there.positions
        there, state, _ = scheme.step(problem, there, 0.0, tau, state)
        assert np.abs(there.positions - (before - tau * slope)).max() < 1e-12


@pytest.mark.slow
def test_noise_injection_fetches_particles_from_beyond_the_reach_of_the_kernel():
    """Descent drives the last ones away for good; gradients taken beside them bring some back."""
    target = Particles(0.5 * np.random.default_rng(2).normal(size=(20, 1)))
    start = Particles(np.random.default_rng(3).normal(size=(20, 1)) * 0.3 - 5.0)
    functional = fn.MMD(target, width=1.0)
    plain, noisy = (
        jko.flow(functional, start, scheme, tau=1.0, n_steps=400, store_every=400)
        for scheme in (ForwardEuler(), NoiseInjection(level=2.0))
    )
    lost = [np.sum(np.abs(run.final.positions) > 4.0) for run in (plain, noisy)]
    assert lost[1] < lost[0]
    assert noisy.energy[-1] < 0.6 * plain.energy[-1]


@pytest.mark.long
@pytest.mark.parametrize("kernel", ["gaussian", "inverse multiquadric"])
def test_fast_sums_of_stein_are_those_of_all_pairs(kernel):
    mu = cloud()
    plain, fast = (SVGD(kernel=kernel, bandwidth=0.8, sums=sums) for sums in ("direct", "fourier"))
    moved, _, direct = first_block(plain, F, mu, 0.05, 2)
    there, _, records = first_block(fast, F, mu, 0.05, 2)
    assert np.abs(there.positions - moved.positions).max() < 1e-7
    assert records.stein_discrepancy == pytest.approx(direct.stein_discrepancy, rel=1e-7)
    assert set(direct.note) == {""}
    assert all("pair sums: fourier" in note and "error of the forces" in note for note in records.note)


@pytest.mark.long
def test_fast_sums_of_a_discrepancy_are_those_of_all_pairs():
    """Of the kernel over the particles, and of its embedding over the target's points."""
    mu, fast = cloud(), fn.MMD(TARGET, width=0.9, method="fourier", tolerance=1e-9)
    for scheme in (NoiseInjection(level=0.6), ForwardEuler()):
        runs = [jko.flow(functional, mu, scheme, tau=0.2, n_steps=2) for functional in (DISCREPANCY, fast)]
        assert np.abs(runs[0].final.positions - mu.positions).max() > 0.01
        assert np.abs(runs[0].final.positions - runs[1].final.positions).max() < 1e-8
        assert runs[1].energy == pytest.approx(runs[0].energy, abs=1e-8)
        assert all("fourier" in note for note in runs[1].info.note)
    v = np.random.default_rng(1).normal(size=mu.positions.shape)
    with jax.enable_x64(True):
        products = [
            np.asarray(field(outside_terms(functional.parts)).compiled_product(mu.positions, mu.weights, v))
            for functional in (DISCREPANCY, fast)
        ]
    # a mesh gives products by differences, which is enough for Newton's method
    assert np.abs(products[0] - products[1]).max() < 2e-4 * np.abs(products[0]).max()


def test_refusals():
    mu = cloud()
    with pytest.raises(ValueError, match=r"has none: use descent\.ForwardEuler"):
        SVGD().prepare(BANANA, mu)
    with pytest.raises(ValueError, match=r"Power.*descent\.Blob"):
        SVGD().prepare(F + fn.Power(2), mu)
    with pytest.raises(ValueError, match=r"bandwidth.*coincide"):
        SVGD().prepare(F, Particles(np.zeros((5, 2))))
    with pytest.raises(ValueError, match=r"bandwidth: one particle has no distances"):
        SVGD().prepare(F, Particles([[1.0, 2.0]]))
    problem = SVGD().prepare(F, Particles([[0.0, 0.0], [3.0, 4.0]]))
    two = problem.start
    assert two["bandwidth"] == pytest.approx(5.0 / np.sqrt(2.0 * np.log(2.0)))
    for settings in ({"kernel": "box"}, {"bandwidth": 0.0}, {"neighbours": 0}, {"sums": "fast"}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            SVGD(**settings)
    with pytest.raises(ValueError, match="Entropy"):
        NoiseInjection().prepare(F, mu)
    for settings in ({"level": 0.0}, {"decay": 0.7}, {"seed": -1}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            NoiseInjection(**settings)


def test_what_becomes_infinite_is_named():
    hill = fn.Potential(lambda x: -jnp.sum(x**4))
    with pytest.raises(StepFailed, match="a position became infinite in step"):
        jko.flow(hill, Particles([[3e150, 0.0]]), NoiseInjection(), tau=1.0, n_steps=5)


def test_the_median_rule():
    x = np.random.default_rng(0).normal(size=(200, 2))
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(200, 1)]
    expected = np.median(distances) / np.sqrt(2.0 * np.log(200))
    assert median_bandwidth(Particles(x)) == pytest.approx(expected, rel=1e-12)
    assert SVGD().prepare(F, Particles(x)).start["bandwidth"] == pytest.approx(expected)
