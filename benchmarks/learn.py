"""Learning from snapshots: analytic potentials, intervals that hold the truth, and the embryoid body.

`python benchmarks/learn.py embryoid_body PATH` takes an .npz file of `positions` [n, 5] and `time` [n] (five
times; two published data sets cited in docs/learning.md); the project does not contain it.
"""

import sys
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import rows
from rows import row, run, sized

import jko
from functionals import pointwise
from jko.learn import Quadratic, Radial, Snapshots, Splines, fit, interpolate
from jko.learn.couplings import coupling_in_parts, optimal_coupling
from jko.learn.scoring import distances

PATHS = [argument for argument in rows.NAMED if argument.endswith(".npz")]
rows.NAMED = [argument for argument in rows.NAMED if argument not in PATHS]

# fifteen potentials of the literature, scaled to slopes of about 1 on [-2, 2]²
POTENTIALS = {
    "sphere": lambda x: 0.5 * jnp.sum(x**2),
    "rotated": lambda x: 0.4 * (x[0] ** 2 + x[0] * x[1] + 1.5 * x[1] ** 2),
    "styblinski-tang": lambda x: 0.05 * jnp.sum(x**4 - 16.0 * x**2 + 5.0 * x),
    "three-hump camel": lambda x: (
        0.2 * (2.0 * x[0] ** 2 - 1.05 * x[0] ** 4 + x[0] ** 6 / 6.0 + x[0] * x[1] + x[1] ** 2)
    ),
    "double well": lambda x: 0.25 * (x[0] ** 2 - 1.0) ** 2 + 0.5 * x[1] ** 2,
    "four wells": lambda x: 0.2 * jnp.sum((x**2 - 1.0) ** 2),
    "double exponential": lambda x: (
        -1.5 * jnp.exp(-jnp.sum((x - 1.0) ** 2) / 1.5) - 1.5 * jnp.exp(-jnp.sum((x + 1.0) ** 2) / 1.5)
    ),
    "bohachevsky": lambda x: (
        0.3 * (x[0] ** 2 + 2.0 * x[1] ** 2) - 0.2 * jnp.cos(2.0 * x[0]) - 0.2 * jnp.cos(3.0 * x[1])
    ),
    "wavy plateau": lambda x: jnp.sum(0.1 * x**2 - 0.4 * jnp.cos(1.5 * x)),
    "ring": lambda x: 0.25 * (jnp.sum(x**2) - 1.5) ** 2 / (1.0 + 0.2 * jnp.sum(x**2)),
    "flat bottom": lambda x: jax.nn.softplus(3.0 * (jnp.sum(x**2) - 1.5)) / 4.0,
    "soft ridge": lambda x: 0.5 * jnp.tanh(2.0 * x[0]) + 0.3 * x[1] ** 2,
    "oakley-ohagan": lambda x: 0.4 * jnp.sum(jnp.sin(x) + 2.0 * jnp.cos(x) + x),
    "watershed": lambda x: x[0] + 0.5 * x[0] ** 2 * x[1] * jnp.exp(-0.3 * jnp.sum(x**2)) + 0.2 * x[1] ** 2,
    "moon": lambda x: 0.2 * (x[1] - 0.5 * x[0] ** 2) ** 2 + 0.1 * x[0] ** 2,
}


def _shuffled(V, times, n, seed, step=2e-3):
    """The same points along the flow of V, in a new order at each time."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-2.0, 2.0, (n, 2))
    clouds = [x]
    for gap in np.diff(times):
        count = max(1, round(gap / step))
        for _ in range(count):
            first = -pointwise.gradients(V, x)
            x = x + 0.5 * gap / count * (first - pointwise.gradients(V, x + gap / count * first))
        clouds.append(generator.permutation(x))
    return Snapshots(times, clouds)


@row
def analytic_potentials():
    """Relative L² error of ∇V on the points seen, five snapshots of shuffled points; goals 5 %, 5 s."""
    n, basis = sized(2000, 200), Splines(cells=sized(12, 4))
    fit(_shuffled(POTENTIALS["sphere"], [0.0, 0.1], 100, seed=0), potential=basis, progress=False)  # imports
    for dt in sized((0.01, 0.1), (0.1,)):
        table = []
        for name, V in list(POTENTIALS.items())[: sized(None, 2)]:
            seen = _shuffled(V, dt * np.arange(5), n, seed=0)
            begun = time.process_time()
            found = fit(seen, potential=basis, refinement=4, progress=False)
            seconds = time.process_time() - begun
            x = seen.pooled()
            exact = pointwise.gradients(V, x)
            wrong = pointwise.gradients(found.V, x) - exact
            error = float(np.sqrt(np.mean(wrong**2) / np.mean(exact**2)))
            unseen = len(found.identifiability.null_directions)
            table.append((error, seconds))
            print(
                f"{name:<20} dt = {dt:<5} error of the slope {error:.2%} in {seconds:.1f} CPU s, "
                f"{unseen} of {found.identifiability.size} directions told unseen",
                flush=True,
            )
        errors, taken = np.array(table).T
        print(
            f"dt = {dt}: worst {errors.max():.2%}, {np.sum(errors > 0.05)} of {len(table)} above 5 %, "
            f"median {np.median(taken):.1f} CPU s, slowest {taken.max():.1f} (goals 5 %, 5 s)",
            flush=True,
        )


@row
def temperature():
    """θ and V from independent draws of Ornstein–Uhlenbeck laws; goal 3 %, and errors as they are told."""
    times = np.array([0.0, 0.2, 0.5, 1.0])
    for dimension, n in ((1, 20_000), (2, 20_000), (2, 2000)):
        errors, told = [], []
        for seed in range(sized(8, 1)):
            generator = np.random.default_rng(seed)
            shape = (sized(n, 500), dimension)
            clouds = [
                2.0 * np.exp(-t) + np.sqrt(0.3 - 0.25 * np.exp(-2.0 * t)) * generator.standard_normal(shape)
                for t in times
            ]
            found = fit(Snapshots(times, clouds), potential=Quadratic(), temperature="fit", progress=False)
            errors.append(found.temperature / 0.3 - 1.0)
            told.append(found.temperature_error / 0.3)
        print(
            f"temperature in {dimension}D, {shape[0]} points a time: error {np.std(errors):.1%} and bias "
            f"{np.mean(errors):+.1%} over {len(errors)} draws, told {np.median(told):.1%} (goal 3 %)",
            flush=True,
        )


@row
def coverage():
    """Intervals of (a + b, θ) of the quadratic McKean–Vlasov law (1, .5, .5); goal 95 % of 200 trials."""
    trials, n, held = sized(200, 2), 400, []
    for trial in range(trials):
        generator, times, clouds = np.random.default_rng(trial), np.linspace(0.0, 0.8, 5), []
        for t in times:
            variance = 1.0 / 3.0 + (2.0 - 1.0 / 3.0) * np.exp(-3.0 * t)
            clouds.append(2.0 * np.exp(-t) + np.sqrt(variance) * generator.standard_normal((n, 1)))
        found = fit(
            Snapshots(times, clouds),
            Quadratic(),
            Quadratic(),
            temperature="fit",
            regularisation=0,
            progress=False,
        )
        model, errors = found.parts[0].model, found.standard_errors
        a, b = found.V.quadratic[1][0, 0], found.W.modulus
        units = np.array([2.0 / model.potential.scale[0] ** 2, 2.0 / model.kernels.scale**2, 1.0])
        off = np.array([a - 1.0, b - 0.5, found.parameters[-1] - 0.5]) / (units * errors[1:])
        held.append(np.abs(off) < 1.96)
    shares = np.mean(held, axis=0)
    print(
        f"intervals of a, b, θ hold the truth in {', '.join(f'{s:.1%}' for s in shares)} of {trials} trials"
        " (goal 95 %)"
    )


@row
def couplings():
    """The cost of a coupling in parts of independent draws in 5D above the least, that of an exact plan where
    there is one, and the bound of it by duality."""
    for n, exact in sized(((5000, True), (20_000, False)), ((200, True),)):
        generator = np.random.default_rng(0)
        mu = jko.Particles(generator.standard_normal((n, 5)))
        nu = jko.Particles(np.exp(-0.3) * generator.standard_normal((n, 5)) + np.array([1.0, *4 * [0.0]]))
        begun = time.process_time()
        found = coupling_in_parts(mu, nu)
        taken, costs = time.process_time() - begun, []
        for each in (found, optimal_coupling(mu, nu) if exact else found):
            away = mu.positions[each.rows] - nu.positions[each.columns]
            costs.append(float(each.weights @ np.sum(away**2, axis=1)))
        kept = n * np.bincount(found.rows, found.weights, n) - 1.0
        known = f"cost {costs[0] / costs[1] - 1.0:.1e} above the least, " if exact else ""
        print(
            f"coupling in parts of {n} and {n} points: {known}at most {found.excess:.1e} by duality, "
            f"marginals to {np.abs(kept).max():.0e}, {taken:.0f} CPU s",
            flush=True,
        )


@row
def large():
    """Five snapshots of 20 000 points in 5D: the curve's first interval, and two fits; goal: minutes."""
    n, generator, times = sized(20_000, 300), np.random.default_rng(0), np.arange(5.0)
    clouds = [np.exp(-0.3 * t) * generator.standard_normal((n, 5)) + np.array([t, *4 * [0.0]]) for t in times]
    seen = Snapshots(times, clouds)
    begun, cpu = time.perf_counter(), time.process_time()
    course = interpolate(seen, progress=False)
    between = course(0.5).n
    print(
        f"an interval of a curve through 5 x {n} points in 5D: {time.perf_counter() - begun:.0f} s, "
        f"{time.process_time() - cpu:.0f} CPU s, {between} points between",
        flush=True,
    )
    for settings in ({"temperature": "fit"}, {"step": "explicit"}):
        begun, cpu = time.perf_counter(), time.process_time()
        found = fit(seen, potential=Radial(sized(300, 20), 1.5), progress=False, **settings)
        print(
            f"Radial(300) of 5 x {n} points, {settings}: {time.perf_counter() - begun:.0f} s, "
            f"{time.process_time() - cpu:.0f} CPU s, {len(found.report.rounds[0])} rounds",
            flush=True,
        )


@row
def embryoid_body():
    """One interval ahead, 60/40 splits, mean W₁ over four intervals; goals ≤ .52 and ≤ 20 s."""
    if not PATHS:
        print("embryoid_body: give the path of the .npz file (see docs/learning.md)")
        return
    data = np.load(Path(PATHS[0]))
    positions, at = data["positions"].astype(float), data["time"]
    clouds = [positions[at == t] for t in np.unique(at)]
    clouds = [cloud[:: sized(1, 20)] for cloud in clouds]
    whole = Snapshots(np.arange(len(clouds)), clouds)
    for step in ("explicit", "flow", "implicit"):
        reached, taken = [], []
        for seed in range(sized(5, 1)):
            first, rest = whole.split(0.6, seed=seed)
            basis = Radial(
                sized(600 if step == "explicit" else 300, 20),
                0.8 if step == "explicit" else 1.0,
                per_interval=True,
            )
            begun, cpu = time.perf_counter(), time.process_time()
            found = fit(first, potential=basis, step=step, refinement=6, progress=False)
            moved = [found.predict(rest[k], [k, k + 1]).final for k in range(len(clouds) - 1)]
            taken.append((time.perf_counter() - begun, time.process_time() - cpu))
            each = [distances(mu, rest[k + 1], most=10**6)["W1"] for k, mu in enumerate(moved)]
            reached.append(np.mean(each))
            floor = np.mean(
                [distances(first[k + 1], rest[k + 1], most=10**6)["W1"] for k in range(len(each))]
            )
            print(
                f"{step}, seed {seed}: W1 {', '.join(f'{w:.3f}' for w in each)}, mean {reached[-1]:.4f} "
                f"(floor {floor:.3f}) in {taken[-1][0]:.1f} s ({taken[-1][1]:.1f} s of processor)",
                flush=True,
            )
        mean, spread = np.mean(reached), np.std(reached)
        seconds = np.mean(taken, axis=0)[0]
        print(f"{step}: mean W1 {mean:.4f} ± {spread:.4f} in {seconds:.1f} s (goals .52, 20 s)")


@row
def left_out():
    """Times 1 and 3 of the embryoid body from the other four, W₂ of draws of 2000 points; goals .85, .84."""
    if not PATHS:
        print("left_out: give the path of the .npz file (see docs/learning.md)")
        return
    data = np.load(Path(PATHS[0]))
    clouds = [data["positions"][data["time"] == t].astype(float) for t in range(5)]
    clouds = [cloud[:: sized(1, 20)] for cloud in clouds]
    for k in (1, 3):
        given, there = np.delete(np.arange(5), k), jko.Particles(clouds[k])
        for most in sized((2000, None), (None,)):
            apart = []
            for seed in range(sized(4, 1)):
                drawn = [jko.Particles(clouds[j]).subsample(most or len(clouds[j]), seed) for j in given]
                seen = Snapshots(given, drawn)
                if most or not seed:
                    kinds = ("displacement", "curved")
                    middles = [interpolate(seen, kind, progress=False)(k) for kind in kinds]
                apart.append([distances(mu, there, seed=10 * seed)["W2"] for mu in middles])
            straight, curved = (f"{np.mean(w):.3f} ± {np.std(w):.3f}" for w in np.transpose(apart))
            print(
                f"time {k} left out, {most or 'all'} points coupled: W2 straight {straight}, curved {curved}",
                flush=True,
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    sys.argv = [argument for argument in sys.argv if argument not in PATHS]
    run()
