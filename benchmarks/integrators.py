"""Particle integrators: orders, bias at equilibrium, speed, Keller-Segel.

    python benchmarks/integrators.py [--smoke] [row ...]

Speeds are in particle-steps per second of processor time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rows import row, run, sized
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parent.parent))

import functionals as fn
import jko
from jko.descent import (
    SVGD,
    AdaptiveRungeKutta,
    BackwardEuler,
    ForwardEuler,
    Langevin,
    LeimkuhlerMatthews,
    NoiseInjection,
    StochasticHeun,
    Trapezoidal,
    UnderdampedLangevin,
)
from tests.descent import exact_laws

QUADRATIC = fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
WELL = fn.Potential(lambda x: 0.25 * jnp.sum(x**4) - 0.5 * jnp.sum(x**2))
WELLS = 0.25 * fn.Potential("double_well") + fn.Interaction("gaussian", strength=-0.7, width=0.8)
GAS = fn.Interaction("quadratic_logarithmic")


def quantiles(n, mean, std):
    return jko.Particles(mean + std * norm.ppf((np.arange(n) + 0.5) / n)[:, None])


@row
def trapezoidal():
    print("\nTrapezoidal: error in the positions, rms, against many steps, and the order by halving")
    n, best_steps, counts = sized((100, 1024, (8, 16, 32, 64)), (12, 32, (4, 8)))
    plane = jko.Particles(np.random.default_rng(0).normal(size=(n, 2)))
    problems = {
        "double well + attraction, 2D": (WELLS, plane),
        "|z|^2/2 - log|z|, 1D": (GAS, quantiles(n, 0.0, 1.0)),
        "entropy + quadratic, blob, 1D": (fn.Entropy() + QUADRATIC, quantiles(n, 1.0, 0.5)),
        "power m = 2, blob, 1D": (fn.Power(2), quantiles(n, 0.0, 1.0)),
    }
    for name, (functional, start) in problems.items():
        runs = {
            k: jko.flow(functional, start, Trapezoidal(), tau=0.5 / k, n_steps=k)
            for k in (*counts, best_steps)
        }
        best = runs.pop(best_steps).final.positions
        errors = [np.sqrt(np.mean((k.final.positions - best) ** 2)) for k in runs.values()]
        orders = ", ".join(f"{order:.2f}" for order in exact_laws.orders(errors))
        rises = sum(int(np.sum(np.diff(k.energy) > 0)) for k in runs.values())
        print(
            f"  {name:31s} error at most steps {errors[-1]:.1e}  orders {orders}  steps that raise F: {rises}"
        )


@row
def weak_orders():
    print("\nE x^2 on Ornstein-Uhlenbeck at t = 0.8 by the recursion of moments, and its order in tau")
    limit = 0.7 / 1.3
    exact = limit + (0.25 - limit) * np.exp(-2 * 1.3 * 0.8)
    for scheme in (StochasticHeun(), LeimkuhlerMatthews()):
        errors = [
            exact_laws.second_moments(scheme, 1.3, 0.7, 0.8 / k, k, [[0.25]])[0, 0] - exact
            for k in sized((16, 32, 64), (8, 16))
        ]
        print(
            f"  {type(scheme).__name__:20s} {errors[-1]:+.1e} at most steps, orders",
            exact_laws.orders(errors),
        )


def force(x, later=0):
    return x**3 - x


@row
def bias_at_equilibrium(temperature=0.5):
    print(
        "\nBias of E x^2 at equilibrium, V = x^4/4 - x^2/2, theta = 0.5, by transfer operators: no sampling"
    )
    x = np.linspace(-5.0, 5.0, 4001)
    density = np.exp(-(0.25 * x**4 - 0.5 * x**2) / temperature)
    exact = (density @ x**2) / density.sum()
    steps = sized((0.2, 0.1, 0.05, 0.025), (0.4, 0.2))
    print(f"  exact {exact:.6f}   tau" + "".join(f"{tau:>12g}" for tau in steps) + "   last order")
    nodes = sized({}, {"nodes": (40, 20)})
    schemes = {
        "Langevin": Langevin(),
        "StochasticHeun": StochasticHeun(),
        "LeimkuhlerMatthews": LeimkuhlerMatthews(),
        "UnderdampedLangevin": UnderdampedLangevin(),
    }
    for name, scheme in schemes.items():
        errors = [
            exact_laws.average_at_equilibrium(scheme, force, temperature, tau, np.square, **nodes) - exact
            for tau in steps
        ]
        shown = "".join(f"{error:+12.1e}" for error in errors)
        print(f"  {name:22s}{shown}   {exact_laws.orders(errors)[-1]:.2f}")


@row
def speed():
    n, steps = sized((100_000, 200), (100, 5))
    print(f"\n{n} particles x {steps} steps, 2D, float32, a potential written in jax: M particle-steps/s")
    functional = fn.Entropy() + WELL
    mu = jko.Particles(np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32))
    for noise in ("gaussian", "three-point"):
        rates = []
        for kind in (Langevin, LeimkuhlerMatthews, StochasticHeun, UnderdampedLangevin):
            scheme = kind(noise=noise)
            problem = scheme.prepare(functional, mu)
            state = problem.start
            scheme.advance(problem, mu, 0.0, 0.01, 1, state)
            start = time.process_time()
            scheme.advance(problem, mu, 0.0, 0.01, steps, state)
            rates.append(f"{kind.__name__} {n * steps / (time.process_time() - start) / 1e6:.0f}")
        print(f"  {noise:12s} {', '.join(rates)}")


@row
def keller_segel(tau=0.005):
    n, seeds, ratios = sized((2000, 6, (0.25, 0.5, 1.0, 1.5, 2.0)), (50, 1, (0.5,)))
    print(
        f"\nKeller-Segel, plane, n = {n}, {seeds} seeds, tau = {tau:g}: d/dt of the second moment over t < T"
    )
    for chi, horizon in ((4.0 * ratio, 0.3 if ratio < 2.0 else 0.15) for ratio in ratios):
        steps = round(horizon / tau)
        functional, rates, variances = fn.Entropy() + fn.Interaction("logarithmic", strength=-chi), [], []
        for seed in range(seeds):
            start = jko.Particles(np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32))
            scheme = Langevin(seed=seed, observables={"moment": lambda x: jnp.sum(x**2)})
            moved = jko.flow(functional, start, scheme, tau=tau, n_steps=steps, store_every=steps)
            first = np.mean(np.sum(start.positions.astype(float) ** 2, axis=1))
            rates.append((moved.info.moment[-1] - first) / horizon)
            variances.append(8.0 * np.mean(moved.info.moment) / (n * horizon))
        exact, error = 4.0 * (1.0 - chi / 4.0), np.sqrt(np.mean(variances) / seeds)
        away = (np.mean(rates) - exact) / error
        print(
            f"  chi/chi_c = {chi / 4:<5g} T = {horizon:<5g} exact {exact:+.3f}  found {np.mean(rates):+.3f} "
            f"+- {error:.3f}: {away:+.1f} standard errors"
        )


@row
def kernel_flows():
    n = sized(100_000, 200)
    print(f"\nFlows by kernels, n = {n} in the plane: processor seconds a step after the first, median of 3")
    generator = np.random.default_rng(0)
    mu, target = (
        jko.Particles(generator.normal(size=(n, 2))),
        jko.Particles(generator.normal(size=(n, 2)) + 1.0),
    )
    banana = fn.KL(lambda x: -0.5 * x[0] ** 2 - 4.0 * (x[1] - 0.5 * x[0] ** 2) ** 2)
    discrepancy = fn.MMD(target, width=0.7)
    for name, functional, scheme in (
        ("SVGD, Gaussian", banana, SVGD(bandwidth=0.3)),
        ("SVGD, inverse multiquadric", banana, SVGD(kernel="inverse multiquadric", bandwidth=0.3)),
        ("MMD, ForwardEuler", discrepancy, ForwardEuler()),
        ("MMD, NoiseInjection", discrepancy, NoiseInjection(level=0.5)),
    ):
        problem = scheme.prepare(functional, mu)
        there, state, seconds = mu, problem.start, []
        for _ in range(4):
            start = time.process_time()
            there, state, info = scheme.step(problem, there, 0.0, 0.1, state)
            seconds.append(time.process_time() - start)
        print(f"  {name:28s} {np.median(seconds[1:]):.2f} s; {info.note}")


@row
def adaptive():
    n = sized(100, 10)
    print(f"\nHalf a unit of time of the logarithmic gas, n = {n} in 1D: gradients (or solves) and the error")
    start = quantiles(n, 0.0, 1.0)
    best = AdaptiveRungeKutta(rtolerance=1e-10, atolerance=1e-11)
    best = jko.flow(GAS, start, best, tau=0.5, n_steps=1).final.positions

    def show(name, found, count):
        error = np.sqrt(np.mean((found.final.positions - best) ** 2))
        print(f"  {name:34s} {count:7.0f}   {error:.1e}")

    for tau in sized((5e-3, 5e-4), (5e-3,)):
        found = jko.flow(GAS, start, ForwardEuler(), tau=tau, n_steps=round(0.5 / tau), throw=False)
        if found.info.status[-1] == "converged":
            show(f"ForwardEuler, tau = {tau:g}", found, found.info.iterations.sum())
        else:
            print(f"  ForwardEuler, tau = {tau:g}: {found.info.status[-1]}")
    for kind in (BackwardEuler, Trapezoidal):
        found = jko.flow(GAS, start, kind(), tau=0.05, n_steps=10)
        show(f"{kind.__name__}, tau = 0.05", found, found.info.iterations.sum())
    for method, stages in (("tsit5", 6), ("kvaerno5", 7)):
        scheme = AdaptiveRungeKutta(rtolerance=1e-5, atolerance=1e-6, method=method)
        found = jko.flow(GAS, start, scheme, tau=0.5, n_steps=1)
        show(f"AdaptiveRungeKutta, {method}, 1e-5", found, stages * found.info.iterations.sum())


if __name__ == "__main__":
    run()
