"""Particles at scale, one row a function: `python benchmarks/particles.py [--smoke] [row ...]`

Every row prints what was measured, beside the plain sum over pairs in jax (differences taken first) in the
same run where there is something to compare. Seconds are those of the wall and, since other programs may run
beside, of all processors together.
"""

from __future__ import annotations

import time

import jax.numpy as jnp
import numpy as np
from rows import row, run, sized

import functionals as fn
import jko
from jko.loops.sums.pair_sums import Difference, pair_gradient_sum

RANDOM = np.random.default_rng(0)


def timed(work, repeats=3):
    """(median seconds on the wall, median seconds of processors, last answer), after a first call."""
    work()
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        answer = work()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return float(np.median(walls)), float(np.median(processors)), answer


def gaussian(z):
    return jnp.exp(-0.5 * jnp.sum(z**2))


def plain_rate(dtype):
    """Pairs a second of the plain sum in jax."""
    n = sized(10_000, 200)
    x = RANDOM.normal(size=(n, 2)).astype(dtype)
    w = np.full(n, 1.0 / n, dtype)
    kernel = Difference(gaussian)
    wall, processor, _ = timed(
        lambda: np.asarray(pair_gradient_sum(kernel, x, x, w, exclude_coincident=True))
    )
    return n * n / wall, n * n / processor


@row
def all_pairs():
    """Gaussian kernel gradient in the plane, all pairs."""
    n = sized(50_000, 200)
    for dtype in (np.float64, np.float32):
        x = RANDOM.normal(size=(n, 2)).astype(dtype)
        mu = jko.Particles(x)
        start = time.process_time()
        fn.Interaction("gaussian", method="direct").wasserstein_gradient(mu)
        first = time.process_time() - start
        F = fn.Interaction("gaussian", method="direct")
        wall, processor, got = timed(lambda F=F, mu=mu: F.wasserstein_gradient(mu))
        rows = slice(0, n, n // 50)
        z = x[rows, None].astype(float) - x[None].astype(float)
        exact = -np.einsum("ij,ijd->id", np.exp(-0.5 * np.sum(z**2, axis=-1)), z) / n
        error = np.abs(got[rows] - exact).max() / np.abs(exact).max()
        plain, plain_processor = plain_rate(dtype)
        pairs = float(n) ** 2
        print(
            f"  {np.dtype(dtype).name}: {pairs / wall / 1e9:.2f} Gpairs/s ({pairs / processor / 1e9:.2f} a "
            f"processor second), error {error:.0e}; plain jax {plain / 1e9:.2f} "
            f"({plain_processor / 1e9:.2f}): "
            f"{pairs / wall / plain:.1f} x; first call {first:.1f} s of processor"
        )


def evaluation(F, n, dimension=2, make=None):
    """A line about one gradient of F over n particles, with its measured error."""
    n = sized(n, n // 50)
    mu = jko.Particles(RANDOM.normal(size=(n, dimension)) if make is None else make(n))
    choice = F.choice(mu)
    wall, processor, _ = timed(lambda: F.wasserstein_gradient(mu))
    print(
        f"  n = {n:8d}, {dimension}D: {wall:.2f} s, {processor:.2f} of processors; {choice.method}, error of "
        f"forces {choice.error_of_gradients:.0e}, of values {choice.error_of_values:.0e} (asked for "
        f"{choice.tolerance:g})"
    )
    return processor


@row
def smooth():
    """Gaussian of width 0.5 over a standard normal cloud, to 1e-6."""
    for dimension in (1, 2, 3):
        F = fn.Interaction("gaussian", width=0.5, tolerance=1e-6)
        seconds = [evaluation(F, n, dimension) for n in (100_000, 1_000_000)]
        print(f"    growth of the time over tenfold n: {seconds[1] / seconds[0]:.1f}")


@row
def logarithm():
    """−log|z| over a normal cloud, a disk, and tight clusters."""
    for n in (100_000, 1_000_000):
        evaluation(fn.Interaction("logarithmic", tolerance=1e-4), n)
    evaluation(fn.Interaction("logarithmic", tolerance=1e-6), 100_000)
    print("  four clusters of widths 0.5, 0.1, 0.02, 0.004:")
    evaluation(fn.Interaction("logarithmic", tolerance=1e-4), 100_000, make=clusters)


def clusters(n):
    group = RANDOM.integers(0, 4, n)
    spread = np.array([0.5, 0.1, 0.02, 0.004])[group][:, None]
    return 3.0 * RANDOM.normal(size=(4, 2))[group] + spread * RANDOM.normal(size=(n, 2))


@row
def riesz():
    """1/|z| in space (Newton's kernel) and |z|^{-1/2} in the plane, to 1e-4."""
    evaluation(fn.Interaction("power", exponent=-1.0, strength=-1.0, tolerance=1e-4), 100_000, 3)
    evaluation(fn.Interaction("power", exponent=-0.5, strength=-0.5, tolerance=1e-4), 100_000, 2)


def bump(z):
    return jnp.maximum(1.0 - jnp.sum(z**2) / 0.0025, 0.0) ** 3


@row
def compact():
    """(1 − |z|²/R²)³₊, R = 0.05, declared with cutoff=R."""
    evaluation(fn.Interaction(bump, cutoff=0.05, method="cells"), 100_000)


@row
def ones_own():
    """A radial kernel of one's own in jax, 1/√(0.01 + |z|²)."""
    evaluation(fn.Interaction(lambda z: 1.0 / jnp.sqrt(0.01 + jnp.sum(z**2))), 100_000)


@row
def aggregation():
    """W = |z|²/2 − log|z|: the unit disk, energy 3/8; on the line the semicircle, energy 3/8 + log(2)/4."""
    F = fn.Interaction("quadratic_logarithmic")
    print("  plane: sup |share within r − r²|, mean |x|² − (n−1)/2n, energy − 3/8")
    for n in sized((625, 2500, 10_000), (25,)):
        k = np.arange(n) + 0.5
        angle = np.pi * (1.0 + np.sqrt(5.0)) * k
        x = 0.8 * np.sqrt(k / n)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        start = time.process_time()
        moved = jko.flow(F, jko.Particles(x), jko.descent.ForwardEuler(), tau=0.1, n_steps=80, store_every=80)
        final = moved.final.positions - moved.final.mean()
        square = np.sort(np.sum(final**2, axis=1))
        edge = np.maximum(np.abs(np.arange(1, n + 1) / n - square), np.abs(np.arange(n) / n - square))
        print(
            f"    n = {n:6d}: {edge.max():.1e}, {square.mean() - (n - 1) / (2 * n):+.0e}, "
            f"{moved.energy[-1] - 0.375:+.2e}; "
            f"{time.process_time() - start:.0f} s of processors"
        )
    semicircle_on_the_line(F)


def semicircle_on_the_line(F):
    """Backward Euler, τ = 1, t = 20: W2, the density between neighbours, energy, and their orders in n."""
    print("  line: W2 to the semicircle, mean |density − exact| over the inner nine tenths, exact − energy")
    counts, errors = sized((64, 256, 1024), (32, 64)), []
    for n in counts:
        x = np.sqrt(2.0) * np.cos(np.pi * (np.arange(n) + 0.5) / n)[:, None] * 0.9
        start = time.perf_counter()
        moved = jko.flow(
            F, jko.Particles(x), jko.descent.BackwardEuler(), tau=1.0, n_steps=20, store_every=20
        )
        seconds = time.perf_counter() - start
        found = np.sort(moved.final.positions[:, 0])
        distance = np.sqrt(np.mean((found - semicircle_quantiles(n)) ** 2))
        middle, density = 0.5 * (found[1:] + found[:-1]), 1.0 / (n * np.diff(found))
        inner = slice(n // 20, n - n // 20)
        wrong = np.mean(np.abs(density - np.sqrt(np.maximum(2.0 - middle**2, 0.0)) / np.pi)[inner])
        errors.append((distance, wrong, 0.375 + 0.25 * np.log(2.0) - moved.energy[-1]))
        print(f"    n = {n:6d}: {', '.join(f'{e:.1e}' for e in errors[-1])}; {seconds:.1f} s on the wall")
    orders = np.log(np.array(errors[:-1]) / errors[1:]) / np.log(4.0)
    print(f"    orders in n: {orders.round(2).tolist()}")


def semicircle_quantiles(n):
    """Quantiles of √(2 − x²)/π at (i − ½)/n: x = √2 sin θ with θ + sin θ cos θ = π(q − ½)."""
    q = np.pi * ((np.arange(n) + 0.5) / n - 0.5)
    theta = 0.5 * q
    for _ in range(60):
        theta -= (theta + np.sin(theta) * np.cos(theta) - q) / (1.0 + np.cos(2.0 * theta) + 1e-12)
    return np.sqrt(2.0) * np.sin(theta)


@row
def keller_segel():
    """Langevin with log attraction in the plane (Keller and Segel's model, half the critical mass)."""
    n = sized(100_000, 2000)
    for kernel, count, steps in ({"tolerance": 1e-4}, n, 5), ({"method": "direct"}, sized(4000, 100), 5):
        F = fn.Entropy() + fn.Interaction("logarithmic", strength=-2.0, **kernel)
        mu = jko.Particles(RANDOM.normal(size=(count, 2)))
        scheme = jko.descent.Langevin(observables={"spread": "covariance"})
        problem = scheme.prepare(F, mu)
        state = problem.start
        mu, state, _ = scheme.step(problem, mu, 0.0, 0.01, state)
        wall, processor = time.perf_counter(), time.process_time()
        mu, state, records = scheme.advance(problem, mu, 0.0, 0.01, steps, state)
        wall, processor = (time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps
        print(
            f"  n = {count:6d}: {wall:.2f} s a step, {processor:.2f} of processors; "
            f"{records.note[-1] or 'all pairs in the compiled block'}"
        )
    print(
        f"    the compiled block at n = {n}, by n²: {processor * (n / count) ** 2:.0f} s of processors a step"
    )


@row
def blob():
    """Seconds a step of the blob method in the plane."""
    n = sized(100_000, 200)
    for F in (fn.Entropy() + fn.Potential("quadratic"), fn.Power(2)):
        mu, scheme = jko.Particles(RANDOM.normal(size=(n, 2))), jko.descent.Blob()
        problem = scheme.prepare(F, mu)
        state = problem.start
        mu, state, _ = scheme.step(problem, mu, 0.0, 0.01, state)
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(5):
            mu, state, info = scheme.step(problem, mu, 0.0, 0.01, state)
        wall, processor = (time.perf_counter() - wall) / 5, (time.process_time() - processor) / 5
        print(
            f"  {F!r}, n = {n}: {wall:.2f} s a step of {info.iterations} stages, {processor:.2f} of "
            f"processors, bandwidth {state['bandwidth']:.3f}"
        )


@row
def porous_medium():
    """Blob, m = 2 on the line, Barenblatt from time 1 to 2: W2 and its order in n."""
    errors = []
    counts = sized((256, 1024, 4096), (16, 32))
    for n in counts:
        start = barenblatt_quantiles((np.arange(n) + 0.5) / n, 1.0)
        moved = jko.flow(fn.Power(2), jko.Particles(start[:, None]), jko.descent.Blob(), tau=0.1, n_steps=10,
                       store_every=10)  # fmt: skip
        fine = barenblatt_quantiles((np.arange(16 * n) + 0.5) / (16 * n), 2.0)
        cloud = np.repeat(np.sort(moved.final.positions[:, 0]), 16)
        errors.append(np.sqrt(np.mean((cloud - fine) ** 2)))
    orders = np.log(np.array(errors[:-1]) / errors[1:]) / np.log(4.0)
    print(f"  W2 {', '.join(f'{e:.1e}' for e in errors)} at n = {counts}: orders {orders.round(2)}")


def barenblatt_quantiles(q, t):
    return (9.0 * t) ** (1 / 3) * 2 * np.sin(np.arcsin(2 * q - 1) / 3)


if __name__ == "__main__":
    run()
