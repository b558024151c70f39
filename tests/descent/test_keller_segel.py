"""Keller and Segel's model in the plane by particles: the second moment below and above the critical mass."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles
from jko.descent import Langevin
from jko.exact import KellerSegelMoment

CRITICAL = 4.0  # of W = χ log|z|, unit mass and temperature
N, TIME, TAU = 700, 0.3, 0.01


def squared_norm(x):
    return jnp.sum(x**2)


@pytest.mark.long
@pytest.mark.parametrize("chi", [2.0, 6.0], ids=["below", "above"])
def test_the_second_moment_moves_at_its_exact_rate(chi):
    """d/dt∫|x|²dρ = 4(1 − χ/χ_c) within 3 standard errors of the mean over three seeds.

    The noise adds 2√2 Σ x_i·dB_i/n to the moment M: a variance of 8∫M dt/n. Pairs change the rate by χ/n, a
    step of Euler by τ∫|drift|², both below a tenth of the standard error here.
    """
    functional = fn.Entropy() + fn.Interaction("logarithmic", strength=-chi)
    steps, rates, variances = round(TIME / TAU), [], []
    for seed in range(3):
        start = Particles(np.random.default_rng(seed).normal(size=(N, 2)).astype(np.float32))
        scheme = Langevin(seed=seed, observables={"second_moment": squared_norm})
        run = jko.flow(functional, start, scheme, tau=TAU, n_steps=steps, store_every=steps)
        first = float(np.mean(np.sum(start.positions.astype(float) ** 2, axis=1)))
        rates.append((run.info.second_moment[-1] - first) / TIME)
        variances.append(8.0 * np.mean(run.info.second_moment) / (N * TIME))
    exact = KellerSegelMoment(chi, first, critical=CRITICAL).rate
    error = float(np.sqrt(np.mean(variances) / len(rates)))
    assert exact == pytest.approx(4.0 * (1.0 - chi / CRITICAL))
    assert error < 0.2
    assert np.mean(rates) == pytest.approx(exact, abs=3.0 * error)


@pytest.mark.long
def test_past_the_blow_up_the_cloud_is_as_wide_as_the_step_allows():
    """No step resolves the Dirac mass: after the collapse the median radius is a constant times √τ."""
    functional = fn.Entropy() + fn.Interaction("logarithmic", strength=-8.0)
    start = Particles(np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32))
    widths = []
    for tau in (0.016, 0.004):
        steps = round(1.2 / tau)
        final = jko.flow(functional, start, Langevin(), tau=tau, n_steps=steps, store_every=steps).final
        offsets = np.linalg.norm(final.positions - np.median(final.positions, axis=0), axis=1)
        widths.append(np.median(offsets) / np.sqrt(tau))
    assert all(1.0 < width < 4.0 for width in widths)
    assert widths[0] == pytest.approx(widths[1], rel=0.25)
