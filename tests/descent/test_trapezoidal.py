"""The trapezoidal rule: exact steps, order 2 in τ on every kind of energy, and energies that fall."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles
from jko.descent import Blob, Trapezoidal
from jko.errors import StepFailed
from tests.descent.laws import gaussian_quantiles
from tests.first_step import first_step

QUADRATIC = fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
CONTRACTION = fn.Interaction(lambda z: 0.5 * jnp.sum(z**2))
WELLS = 0.25 * fn.Potential("double_well") + fn.Interaction("gaussian", strength=-0.7, width=0.8)
DIFFUSION = 0.5 * fn.Entropy() + 0.5 * fn.Power(2) + QUADRATIC
CONVEX = fn.Potential(lambda x: jnp.sum(jnp.cosh(2.0 * x)))


def cloud(n=24, dimension=2, dtype=np.float64):
    generator = np.random.default_rng(0)
    weights = generator.uniform(0.5, 1.5, n)
    return Particles(
        (generator.normal(size=(n, dimension)) + 0.5).astype(dtype), (weights / weights.sum()).astype(dtype)
    )


@pytest.mark.slow
def test_a_step_on_quadratics_is_exact_and_the_energy_balance_closes():
    """Factors (1 − rτ/2)/(1 + rτ/2), and F(α) − F(α⁺) = Σ w|x⁺ − x|²/τ, also where rτ/2 is far above 1."""
    mu, tau, tolerance = cloud(), 3.0, 1e-12
    run = jko.flow(QUADRATIC + CONTRACTION, mu, Trapezoidal(), tau=tau, n_steps=3)
    mean_factor, factor = ((1.0 - 0.5 * r * tau) / (1.0 + 0.5 * r * tau) for r in (1.0, 2.0))
    mean = mu.mean()
    exact = mean * mean_factor**3 + (mu.positions - mean) * factor**3
    assert np.abs(run.final.positions - exact).max() < tolerance
    for before, after, fall in zip(run.measures[:-1], run.measures[1:], -np.diff(run.energy), strict=True):
        moved = np.sum(mu.weights[:, None] * (after.positions - before.positions) ** 2)
        assert fall == pytest.approx(moved / tau, abs=10 * tolerance)
    assert run.info.dissipation == pytest.approx(-0.5 * np.diff(run.energy), abs=10 * tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("functional", "start", "horizon", "kind"),
    [
        (WELLS, cloud(), 0.5, "exact"),
        (DIFFUSION, Particles(gaussian_quantiles(24, 1.0, 0.5)), 0.4, "regularised"),
    ],
    ids=["wells", "blob"],
)
def test_order_two_in_tau_with_falling_energy(functional, start, horizon, kind):
    steps = (8, 16, 32, 128)
    runs = [
        jko.flow(functional, start, Trapezoidal(), tau=horizon / k, n_steps=k, store_every=k // 8)
        for k in steps
    ]
    errors = [np.abs(run.final.positions - runs[-1].final.positions).max() for run in runs[:-1]]
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx([2.0, 2.0], abs=0.1)
    for run in runs:
        assert run.energy_kind == kind
        assert np.all(np.diff(run.energy) < 0.0)
        assert run.info.dissipation.min() > 0.0


@pytest.mark.slow
def test_it_follows_the_blob_method():
    start = Particles(gaussian_quantiles(24, 1.0, 0.5))
    ours = jko.flow(DIFFUSION, start, Trapezoidal(), tau=0.02, n_steps=40, store_every=40)
    blob = jko.flow(DIFFUSION, start, Blob(), tau=0.02, n_steps=40, store_every=40)
    assert np.abs(ours.final.positions - blob.final.positions).max() < 4e-4
    assert ours.energy == pytest.approx(blob.energy, abs=1e-4)


def test_gradients_fall_on_a_convex_energy_however_large_the_step():
    """⟨g⁺ − g, x⁺ − x⟩ ≥ 0 and x⁺ − x = −(τ/2)(g + g⁺) give |g⁺| ≤ |g|."""
    run = jko.flow(CONVEX, cloud(), Trapezoidal(), tau=5.0, n_steps=6)
    gradients = [CONVEX.wasserstein_gradient(mu) for mu in run.measures]
    norms = [np.sum(run.final.weights[:, None] * g**2) for g in gradients]
    assert np.all(np.diff(norms) < 0.0)


@pytest.mark.slow
def test_a_resume_gives_the_same_bits():
    scheme, functional, mu = Trapezoidal(), WELLS, cloud(dtype=np.float32)
    problem = scheme.prepare(functional, mu)
    state, there = problem.start, mu
    for k in range(6):
        there, state, _ = scheme.step(problem, there, 0.0, 0.05, state)
        if k == 2:
            saved, data = there, dict(state)
    again = jko.State(data)
    for _ in range(3):
        saved, again, _ = scheme.step(problem, saved, 0.0, 0.05, again)
    assert there.positions.dtype == np.float32
    assert np.array_equal(saved.positions, there.positions)
    assert again == state


@pytest.mark.slow
def test_sums_that_are_taken_outside_jax_take_the_same_steps():
    runs = [
        jko.flow(
            QUADRATIC + fn.Interaction("gaussian", method=method), cloud(), Trapezoidal(), tau=0.2, n_steps=2
        )
        for method in ("direct", "fourier")
    ]
    assert np.abs(runs[0].final.positions - runs[1].final.positions).max() < 1e-5
    assert "fourier" in runs[1].info.note[0]
    assert runs[1].info.dissipation.min() > 0.0


def test_refusals():
    mu = cloud()
    for settings in ({"tolerance": 0.0}, {"bandwidth": -1.0}, {"max_iterations": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            Trapezoidal(**settings)
    with pytest.raises(ValueError, match="Cap"):
        Trapezoidal().prepare(QUADRATIC + fn.Cap(1.0), mu)
    with pytest.raises(TypeError, match="Particles"):
        Trapezoidal().prepare(QUADRATIC, jko.Gaussian.of(0.0, 1.0))
    with pytest.raises(ValueError, match=r"bandwidth.*coincide"):
        Trapezoidal().prepare(fn.Entropy(), Particles(np.zeros((5, 1))))
    with pytest.raises(ValueError, match="tau"):
        first_step(Trapezoidal(), QUADRATIC, mu, np.nan)


@pytest.mark.slow
def test_a_step_that_fails_says_why():
    with pytest.raises(StepFailed, match="relative residual"):
        jko.flow(CONVEX, cloud(), Trapezoidal(max_iterations=1), tau=2.0, n_steps=1)
    bump = fn.Potential(lambda x: jnp.sum(5.0 * jnp.exp(-2.0 * (x - 1.0) ** 2) - x))
    with pytest.raises(StepFailed, match=r"the energy went from .* smaller tau or descent\.BackwardEuler"):
        jko.flow(bump, Particles([[0.5]]), Trapezoidal(), tau=10.0, n_steps=1)
