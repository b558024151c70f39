"""Particle schemes: error against the sampling bound. `python benchmarks/descent.py [--smoke] [row ...]`"""

from __future__ import annotations

import time

import jax.numpy as jnp
import numpy as np
from rows import row, run, sized
from scipy.stats import norm

import functionals as fn
import jko

QUADRATIC = fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
FOKKER_PLANCK = fn.Entropy() + QUADRATIC
LAW = jko.exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)


@row
def errors_against_fokker_planck(t=1.0):
    law = LAW.at(t)
    mean, std = float(law.mean()[0]), float(np.sqrt(law.covariance()[0, 0]))
    print(f"\nOrnstein-Uhlenbeck, 1D, t = {t:g}: W2 to Fokker-Planck (bound: rms of W2 of n exact draws)")
    print("        n     bound  Langevin(tau=.002)  Blob, random  Blob, quantiles   seconds")
    for n in sized((1000, 10_000, 100_000), (100,)):
        draws = [np.random.default_rng(s).normal(size=(n, 1)) for s in range(20)]
        bound = std * np.sqrt(np.mean([distance(z, 0.0, 1.0) ** 2 for z in draws]))
        start = 1.5 + 0.5 * draws[0]
        quantiles = 1.5 + 0.5 * norm.ppf((np.arange(n) + 0.5) / n)[:, None]
        langevin, a = flown(start.astype(np.float32), jko.descent.Langevin(seed=1), 0.002, 500)
        random, b = flown(start, jko.descent.Blob(), 0.05, 20)
        regular, c = flown(quantiles, jko.descent.Blob(), 0.05, 20)
        errors = [distance(mu.positions, mean, std) for mu in (langevin, random, regular)]
        print(
            f"  {n:7d}  {bound:8.5f}  {errors[0]:18.5f}  {errors[1]:12.5f}  {errors[2]:15.5f}   "
            f"{a:.1f}, {b:.1f}, {c:.1f}"
        )


def flown(x, scheme, tau, steps, functional=FOKKER_PLANCK):
    start = time.process_time()
    final = jko.flow(functional, jko.Particles(x), scheme, tau=tau, n_steps=steps, store_every=steps).final
    return final, time.process_time() - start


def distance(x, mean, std):
    """W2 of n equal particles on the line to a Gaussian, the quantile taken at 8 points of each interval."""
    x = np.sort(np.asarray(x, dtype=float)[:, 0])
    q = (np.arange(8 * len(x)) + 0.5) / (8 * len(x))
    return np.sqrt(np.mean((np.repeat(x, 8) - mean - std * norm.ppf(q)) ** 2))


@row
def porous_medium():
    print("\nPorous medium m = 2, 1D, the family's time from 1 to 2: W2 to Barenblatt")
    print("        n   Blob, quantiles   Blob, random   W2 of the random start")
    for n in sized((256, 1024, 4096), (32,)):
        errors = []
        for q in ((np.arange(n) + 0.5) / n, np.random.default_rng(0).uniform(size=n)):
            start = parabola(q, 1.0)
            final, _ = flown(start[:, None], jko.descent.Blob(), 0.05, 20, fn.Power(2))
            errors += [barenblatt_distance(final.positions[:, 0], 2.0), barenblatt_distance(start, 1.0)]
        print(f"  {n:7d}   {errors[0]:15.5f}   {errors[2]:12.5f}   {errors[3]:12.5f}")


def parabola(q, t):
    return (9.0 * t) ** (1 / 3) * 2 * np.sin(np.arcsin(2 * q - 1) / 3)


def barenblatt_distance(x, t):
    q = (np.arange(16 * len(x)) + 0.5) / (16 * len(x))
    return np.sqrt(np.mean((np.repeat(np.sort(x), 16) - parabola(q, t)) ** 2))


@row
def aggregation():
    n, end = sized((200, 10.0), (20, 1.0))
    print(f"\nAggregation W = |z|^2/2 - log|z|, 2D, n = {n}, t = {end:g}: unit disk at 10, energy 3/8")
    x = 0.3 * np.random.default_rng(0).normal(size=(n, 2))
    F = fn.Interaction("quadratic_logarithmic")
    for scheme, tau in ((jko.descent.ForwardEuler(), 0.01), (jko.descent.BackwardEuler(), 0.5)):
        final, seconds = flown(x, scheme, tau, round(end / tau), F)
        radii = np.linalg.norm(final.positions - x.mean(axis=0), axis=1)
        virial = np.mean(radii**2) - (n - 1) / (2 * n)
        print(
            f"  {type(scheme).__name__:13s} tau={tau:<5g} radius {radii.max():.4f}  mean|x|^2 - (n-1)/2n "
            f"{virial:+.1e}  energy {F(final):.5f}  {seconds:.1f} s"
        )


@row
def flows_to_data():
    n, steps = sized((2000, 10), (50, 2))
    print(f"\nFlows of {n} points to a ring of as many, 2D, float64: CPU seconds a step of ForwardEuler")
    rng = np.random.default_rng(0)
    angles = rng.uniform(0.0, 2.0 * np.pi, n)
    ring = 2.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1) + 0.2 * rng.normal(size=(n, 2))
    start, data = 0.3 * rng.normal(size=(n, 2)), jko.Particles(ring)
    for F in (fn.SinkhornDivergence(data, epsilon=0.1), fn.SlicedWasserstein(data), fn.EnergyDistance(data)):
        flown(start, jko.descent.ForwardEuler(), 0.1, 1, F)  # compiles
        final, seconds = flown(start, jko.descent.ForwardEuler(), 0.1, steps, F)
        print(f"  {type(F).__name__:18s} {seconds / steps:.3f}, energy {F(final):.4f}")


if __name__ == "__main__":
    run()
