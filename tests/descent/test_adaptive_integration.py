"""Adaptive integration through diffrax: errors by the tolerance, stiffness, order, refusals."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles
from jko.descent import AdaptiveRungeKutta, Trapezoidal
from jko.errors import StepFailed
from tests.descent.laws import gaussian_quantiles

STEEP = fn.Potential(lambda x: jnp.sum(jnp.cosh(x)))
WELLS = fn.Potential(lambda x: 0.25 * jnp.sum((x**2 - 1.0) ** 2))


def cloud(n=20, dtype=np.float64):
    return Particles(np.random.default_rng(0).normal(size=(n, 2)).astype(dtype))


def exact(x, t):
    """ẋ = −sinh x has tanh(x/2) = e^{−t} tanh(x₀/2)."""
    return 2.0 * np.arctanh(np.exp(-t) * np.tanh(0.5 * x))


@pytest.mark.slow
def test_order_five_where_an_inner_step_is_the_whole_step():
    """ẋ = x − x³ has x/√(x² + (1 − x²)e^{−2t})."""
    scheme = AdaptiveRungeKutta(rtolerance=1.0, atolerance=1.0)
    x, errors = np.linspace(-1.0, 1.0, 7)[:, None], []
    exact = x / np.sqrt(x**2 + (1.0 - x**2) * np.exp(-2.0))
    for k in (16, 32):
        run = jko.flow(WELLS, Particles(x), scheme, tau=1.0 / k, n_steps=k, store_every=k)
        errors.append(np.abs(run.final.positions - exact).max())
        assert np.all(run.info.accepted == 1)
        assert np.all(run.info.rejected == 0)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(scheme.order, abs=0.3)


@pytest.mark.slow
def test_the_error_follows_the_tolerance_and_the_energy_falls():
    mu, errors = cloud(), []
    for tolerance in (1e-4, 1e-7, 1e-10):
        scheme = AdaptiveRungeKutta(rtolerance=tolerance, atolerance=tolerance)
        run = jko.flow(STEEP, mu, scheme, tau=0.5, n_steps=4)
        errors.append(np.abs(run.final.positions - exact(mu.positions, 2.0)).max())
        assert np.all(np.diff(run.energy) < 0.0)
        assert run.info.dissipation.min() > 0.0
        assert errors[-1] < 20.0 * tolerance
    assert np.all(run.info.iterations == run.info.accepted + run.info.rejected)


@pytest.mark.slow
def test_an_implicit_method_takes_a_stiff_drift_in_few_steps():
    stiff = fn.Potential("quadratic", stiffness=[1.0, 1e4])
    mu, runs = cloud(10), {}
    for method in ("tsit5", "kvaerno5"):
        scheme = AdaptiveRungeKutta(rtolerance=1e-5, atolerance=1e-6, method=method)
        runs[method] = jko.flow(stiff, mu, scheme, tau=0.5, n_steps=2)
        assert np.abs(runs[method].final.positions[:, 0] - mu.positions[:, 0] * np.exp(-1.0)).max() < 1e-4
        assert np.abs(runs[method].final.positions[:, 1]).max() < 1e-4
    assert runs["kvaerno5"].info.accepted.sum() < 60
    assert runs["tsit5"].info.accepted.sum() > 20 * runs["kvaerno5"].info.accepted.sum()


@pytest.mark.long
def test_it_agrees_with_the_trapezoidal_rule_on_a_regularised_energy():
    functional, start = 0.5 * fn.Entropy() + STEEP, Particles(gaussian_quantiles(20, 0.3, 0.6))
    ours = jko.flow(functional, start, AdaptiveRungeKutta(), tau=0.2, n_steps=2)
    other = jko.flow(functional, start, Trapezoidal(), tau=0.01, n_steps=40, store_every=20)
    assert np.abs(ours.final.positions - other.final.positions).max() < 2e-4
    assert ours.energy == pytest.approx(other.energy, abs=1e-5)
    assert ours.energy_kind == other.energy_kind == "regularised"


@pytest.mark.slow
def test_a_resume_gives_the_same_bits(tmp_path):
    mu, path, scheme = cloud(dtype=np.float32), tmp_path / "run.ckpt", AdaptiveRungeKutta(rtolerance=1e-4)
    whole = jko.flow(STEEP, mu, scheme, tau=0.05, n_steps=6)
    jko.flow(STEEP, mu, scheme, tau=0.05, n_steps=2, checkpoint=path)
    resumed = jko.flow(STEEP, mu, scheme, tau=0.05, n_steps=6, checkpoint=path)
    assert whole.final.positions.dtype == np.float32
    assert np.array_equal(resumed.final.positions, whole.final.positions)
    assert np.array_equal(resumed.info.accepted, whole.info.accepted)


@pytest.mark.slow
def test_steps_that_fail_say_why():
    with pytest.raises(StepFailed, match=r"not completed in max_steps=3 .* method=\"kvaerno5\""):
        jko.flow(STEEP, cloud(), AdaptiveRungeKutta(max_steps=3, rtolerance=1e-10), tau=2.0, n_steps=1)
    loose = AdaptiveRungeKutta(rtolerance=1e3, atolerance=1e-8)
    with pytest.raises(StepFailed, match="the tolerances are too loose, take an rtolerance below 1000"):
        jko.flow(fn.Potential("quadratic", stiffness=50.0), cloud(), loose, tau=1.0, n_steps=3)


def test_refusals(monkeypatch):
    many = Particles(np.zeros((1001, 2)) + np.arange(1001)[:, None])
    with pytest.raises(ValueError, match=r"dense matrices of 2002² .* use descent\.Trapezoidal"):
        AdaptiveRungeKutta(method="kvaerno5").prepare(STEEP, many)
    settings = (
        {"rtolerance": 0.0},
        {"atolerance": -1.0},
        {"method": "euler"},
        {"max_steps": 0},
        {"bandwidth": 0.0},
    )
    for setting in settings:
        with pytest.raises(ValueError, match=next(iter(setting))):
            AdaptiveRungeKutta(**setting)
    with pytest.raises(ValueError, match="Cap"):
        AdaptiveRungeKutta().prepare(STEEP + fn.Cap(1.0), cloud())
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ImportError, match=r'not installed: pip install "jko\[adaptive\]"'):
        AdaptiveRungeKutta().prepare(STEEP, cloud())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "energy", "offset"), [pytest.param(1e-6, 1e12, 0.0, marks=pytest.mark.long), (1e6, 1e-12, 1e5)]
)
def test_no_unit_counts(length, energy, offset):
    """x⁺/length is the same for V(x/length)·energy and τ·length²/energy."""

    def moved(length, energy, offset):
        well = fn.Potential(lambda x: energy * 0.25 * jnp.sum((x / length - offset) ** 4))
        start = jko.Particles(length * (offset + np.linspace(-1.0, 2.0, 9)))
        tau = 0.3 * length**2 / energy
        run = jko.flow(well, start, AdaptiveRungeKutta(), tau=tau, n_steps=2)
        return run.final.positions / length - offset

    assert moved(length, energy, offset) == pytest.approx(moved(1.0, 1.0, 0.0), abs=1e-9)
