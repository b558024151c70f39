"""The figures of docs/diffusion.md: views of an SDE, solvers, learnt flows and scores, consistency.

    python benchmarks/diffusion.py [--smoke] [views] [solvers] [weak_orders] [bound] [flows] [scores]
        [consistency] [consistency_models]

All of them unless named; about ten minutes on one core, a third of it for the learnt flows.
"""

import time

import jax.numpy as jnp
import numpy as np
from rows import row, run, sized
from scipy.stats import norm

import jko
from jko import diffusion
from jko.diffusion.coefficients import at_points

SCHEDULE = diffusion.Schedule.variance_preserving(0.1, 12.0)
MEANS, VARIANCES, WEIGHTS = [[-1.0, 0.3], [0.9, -0.4], [0.2, 1.2]], [0.15, 0.25, 0.05], [0.4, 0.4, 0.2]
LAW = diffusion.NoisedMixture(MEANS, VARIANCES, WEIGHTS, schedule=SCHEDULE)


def log_target(x):
    middle = jnp.full(x.shape, 1.2).at[-1].set(0.6 if x.size > 1 else 1.2)
    return jnp.logaddexp(-jnp.sum((x - middle) ** 2) / 0.7, -jnp.sum((x + middle) ** 2) / 0.5)


def turned_noise(x, t):
    """Noise along turned axes, whose strength depends on the place."""
    c, s = np.cos(0.5), np.sin(0.5)
    return (1.0 + 0.4 * jnp.sin(1.5 * x[0])) * jnp.array([[c, -0.6 * s], [s, 0.6 * c]])


@row
def views():
    """L1 between density and ODE, that of the paths over that of as many draws, seconds of the three."""
    state = diffusion.reversible(log_target, lambda x, t: (1.0 + 0.5 * jnp.sin(2.0 * x))[:, None])
    line = jko.Density.mixture(
        jko.Grid.uniform(-9.0, 9.0, sized(500, 100)), [-1.2, 0.9], [0.4, 0.5], [0.4, 0.6]
    )
    cases = [
        ("Ornstein-Uhlenbeck", diffusion.ornstein_uhlenbeck(), line, [0.0, 0.2, 1.0]),
        ("variance preserving", diffusion.variance_preserving(0.1, 12.0), line, [0.0, 0.3, 1.0]),
        ("variance exploding", diffusion.variance_exploding(0.1, 1.5), line, [0.0, 0.5, 1.0]),
        ("state-dependent G", state, line, [0.0, 0.2, 1.5]),
    ]
    plane = diffusion.reversible(log_target, turned_noise)
    for n in sized((64, 96, 128), (24,)):
        grid = jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), (n, n))
        start = jko.Density.gaussian(grid, mean=(0.0, 0.0), std=0.5)
        cases.append((f"turned G(x), {n}^2", plane, start, [0.0, 0.1, 0.4, 1.5]))
    print(f"{'':>22s}{'L1 ODE':>10s}{'L1 paths':>10s}{'of draws':>10s}{'W2 ODE':>10s}{'wall s':>8s}")
    for name, sde, start, times in cases:
        began = time.perf_counter()
        found = sde.compare_views(start, times, n=sized(20_000, 200), seed=0, steps=sized(100, 10))
        took = time.perf_counter() - began
        row = found.l1_flow.max(), found.l1_paths[-1], found.l1_sampling[-1], found.w2_flow.max(), took
        print("{:>22s}{:10.1e}{:10.1e}{:10.1e}{:10.1e}{:8.1f}".format(name, *row), flush=True)


@row
def solvers():
    """Root mean square distance to the exact flow by evaluations of the score, and the observed order."""
    cloud, end = LAW.sample(400, 1.0, seed=0), 0.05
    exact = diffusion.ConsistencyFunction(LAW, end)(cloud.positions, 1.0)
    budgets = sized((8, 16, 32, 64, 128, 256), (8, 16))
    flow = SCHEDULE.sde().probability_flow(LAW.score)

    def runge_kutta(budget):
        times = diffusion.even_times(SCHEDULE, 1.0, end, budget // 4)
        return flow.transport(cloud, times, substeps=1).final

    def by(method):
        cost = diffusion.evaluations(method, 1)
        return lambda budget: diffusion.sample(
            LAW.score, SCHEDULE, cloud, 1.0, end, steps=budget // cost, method=method
        )

    calls = {name: by(name) for name in diffusion.METHODS if not name.startswith("sde")}
    print(f"{'evaluations':>18s}" + "".join(f"{n:10d}" for n in budgets) + f"{'order':>8s}")
    for name, call in (calls | {"Runge-Kutta 4": runge_kutta}).items():
        errors = [np.sqrt(np.mean((call(n).positions - exact) ** 2)) for n in budgets]
        order = np.log2(errors[-2] / errors[-1])
        print(f"{name:>18s}" + "".join(f"{e:10.1e}" for e in errors) + f"{order:8.2f}", flush=True)


@row
def weak_orders():
    """Error of E x^2 on the line by a million paths, and the observed order with its standard error."""
    law = diffusion.NoisedMixture([-1.0, 0.8], [0.1, 0.2], [0.4, 0.6], schedule=SCHEDULE)
    n, end, steps = sized((1_000_000, 0.02, (5, 10, 20, 40)), (1000, 0.02, (4, 8)))
    cloud, (a, s) = law.sample(n, 1.0, seed=0), SCHEDULE.at(end)
    exact = law.weights @ (a**2 * (law.means[:, 0] ** 2 + np.array([0.1, 0.2])) + s**2)
    cases = [
        ("sde-dpm-solver++1", "sde-dpm-solver++1", None),
        ("sde-dpm-solver++2m", "sde-dpm-solver++2m", None),
        ("karras-heun, churn 4", "karras-heun", diffusion.Churn(4.0)),
    ]
    print(
        f"{'steps':>22s}" + "".join(f"{k:10d}" for k in steps) + f"{'error':>10s}{'order':>8s}{'error':>7s}"
    )
    for name, method, churn in cases:
        errors, spread = [], 0.0
        for k in steps:
            drawn = diffusion.sample(
                law.score, SCHEDULE, cloud, 1.0, end, steps=k, method=method, seed=k, churn=churn
            )
            squares = drawn.positions**2
            errors.append(abs(squares.mean() - exact))
            spread = squares.std() / np.sqrt(n)
        order = np.log2(errors[-2] / errors[-1])
        sure = spread * np.hypot(1.0 / errors[-2], 1.0 / errors[-1]) / np.log(2.0)
        shown = "".join(f"{e:10.1e}" for e in errors)
        print(f"{name:>22s}{shown}{spread:10.1e}{order:8.2f}{sure:7.2f}", flush=True)


@row
def bound():
    """The gap of DDPM's evidence bound in nats by four seeds, and its standard error over them."""
    steps, n, seeds = sized(((50, 100, 200), 20_000, 4), ((25, 50), 100, 2))
    x = np.linspace(-5.0, 5.0, 200_001)
    parts = [0.4 * norm.cdf(x, -1.0, 0.1**0.5), 0.6 * norm.cdf(x, 0.8, 0.2**0.5)]
    cloud = jko.Particles(np.interp((np.arange(n) + 0.5) / n, np.sum(parts, axis=0), x)[:, None])
    print(f"{'steps':>20s}" + "".join(f"{k:>19d}" for k in steps))
    for name, make in (("linear", diffusion.DDPM.linear), ("cosine", diffusion.DDPM.cosine)):
        for variance in ("forward", "posterior"):
            print(f"{name + ', ' + variance:>20s}", end="")
            for k in steps:
                chain = make(k)
                law = diffusion.NoisedMixture([-1.0, 0.8], [0.1, 0.2], [0.4, 0.6], schedule=chain.schedule)
                exact = at_points(lambda x, t, law=law: law.log_density(x, t)[None], cloud.positions, 0.0)
                found = [chain.bound(law.score, cloud, seed, variance=variance) for seed in range(seeds)]
                gaps = [one.gap(exact[:, 0])[0] for one in found]
                print(f"{np.mean(gaps):10.4f} ± {np.std(gaps, ddof=1) / seeds**0.5:6.4f}", end="", flush=True)
            print()


@row
def flows():
    """Transport cost over W2 squared of the same clouds, straightness, and samples beside fresh data."""
    n, draws, usual = sized((50_000, 1000, {}), (500, 50, {"steps": 20}))
    moons, eight = diffusion.two_moons(n, 1), diffusion.eight_gaussians(n, 2)
    normal, plain = jko.Gaussian([0.0, 0.0], np.eye(2)), diffusion.Training(gradient=False, **usual)
    cases = [
        ("normal to eight", normal, eight, diffusion.eight_gaussians, {}),
        ("normal to moons", normal, moons, diffusion.two_moons, {}),
        ("eight to moons", eight, moons, diffusion.two_moons, {}),
        ("  plain field", eight, moons, diffusion.two_moons, {"training": plain}),
        ("  optimal pairs", eight, moons, diffusion.two_moons, {"coupling": "optimal"}),
    ]
    cases = sized(cases, cases[-1:])
    names = ("cost", "W2^2", "cost/W2^2", "straightness", "W2 samples", "W2 draws", "train s")
    print(f"{'':>18s}{'':>3s}" + "".join(f"{name:>13s}" for name in names))
    for name, source, data, fresh, options in cases:
        flow = None
        for _ in range(sized(3, 2)):
            began = time.perf_counter()
            flow = (
                diffusion.flow_matching(source, data, progress=False, **options)
                if flow is None
                else flow.rectify(progress=False)
            )
            took = time.perf_counter() - began
            ours = np.mean([jko.wasserstein(flow.sample(draws, k), fresh(draws, 10 + k)) for k in range(6)])
            floor = np.mean([jko.wasserstein(fresh(draws, 20 + k), fresh(draws, 10 + k)) for k in range(6)])
            cost, best = flow.transport_cost, flow.wasserstein_squared
            row = cost, best, cost / best, flow.straightness, ours, floor, took
            print(f"{name:>18s}{flow.rectified:3d}" + "".join(f"{value:13.4f}" for value in row), flush=True)


@row
def scores():
    """|learnt - exact| / |exact| in L2 of the law, the worst curl at 200 of its points, seconds."""
    times = (0.02, 0.05, 0.1, 0.3, 1.0)
    still = diffusion.Schedule(jnp.ones_like, lambda t: 1e-9 * jnp.ones_like(t))
    data = diffusion.NoisedMixture(MEANS, VARIANCES, WEIGHTS, schedule=still).sample(
        sized(50_000, 500), 0.5, seed=0
    )
    print(f"{'':>24s}" + "".join(f"   t = {t:<5g}" for t in times) + "    curl at 0.05  train s")
    for gradient in (True, False):
        for batch in sized((256, 1024), (64,)):
            usual = sized({}, {"steps": 20})
            began = time.perf_counter()
            training = diffusion.Training(gradient=gradient, batch=batch, **usual)
            score = diffusion.score_matching(data, SCHEDULE, training=training, progress=False)
            took, errors = time.perf_counter() - began, []
            for t in times:
                points = LAW.sample(4000, t, seed=5).positions
                found, exact = (at_points(field, points, t) for field in (score, LAW.score))
                errors.append(np.sqrt(np.sum((found - exact) ** 2) / np.sum(exact**2)))
            turn = np.abs(diffusion.curl(score, LAW.sample(200, 0.05, seed=0).positions, 0.05)).max()
            name = f"{'gradient' if gradient else 'plain'}, batch {batch}"
            shown = "".join(f"{error:12.4f}" for error in errors)
            print(f"{name:>24s}{shown}{turn:16.1e}{took:9.1f}", flush=True)


@row
def consistency():
    """|f(x_t, t) - f(x_s, s)| along 500 paths, and the log-density along them, against what is known."""
    flow, end = SCHEDULE.sde().probability_flow(LAW.score), 0.02
    paths = flow.transport(LAW.sample(500, 0.95, seed=0), [0.95, 0.6, 0.3, 0.1], substeps=sized(400, 40))
    print(f"{'tolerance':>12s}{'apart':>10s}{'CPU s':>8s}")
    for tolerance in sized((1e-4, 1e-6, 1e-8, 1e-10), (1e-4,)):
        f = diffusion.ConsistencyFunction(LAW, end, tolerance=tolerance)
        f(paths.positions[0], 0.95)
        began = time.process_time()
        ends = np.stack([f(x, t) for x, t in zip(paths.positions, paths.times, strict=True)])
        took = (time.process_time() - began) / len(ends)
        print(f"{tolerance:12.0e}{np.abs(ends - ends[0]).max():10.1e}{took:8.3f}")
    points = LAW.sample(500, 0.1, seed=1).positions
    found = flow.log_density(points, lambda x: LAW.log_density(x, 0.95), [0.95, 0.1], substeps=sized(300, 30))
    print(
        f"log-density by the exact trace: {np.abs(found - at_points(LAW.log_density, points, 0.1)).max():.1e}"
    )


@row
def consistency_models():
    """W2 in the plane to fresh draws, of a learnt consistency function over that of the closed form."""
    end, n, seeds = 0.02, sized(3000, 100), sized(8, 2)
    data, exact = LAW.sample(sized(50_000, 500), 0.0, seed=0), diffusion.ConsistencyFunction(LAW, end)
    training = sized(None, diffusion.Training(steps=50, batch=32, width=8, depth=1))
    options = {"end": end, "training": training, "progress": False}

    def distance(f, times, seed):
        made = diffusion.consistency_sample(f, LAW.sample(n, 1.0, seed=seed), times, seed=seed + 100)
        return jko.wasserstein(made, LAW.sample(n, end, seed=seed + 200))

    print(f"{'':>12s}{'at':>12s}{'closed form':>14s}{'over it':>10s}{'+-':>8s}{'CPU s':>8s}")
    for name in sized(("distilled", "from data"), ("from data",)):
        began = time.process_time()
        if name == "distilled":
            f = diffusion.consistency_distillation(LAW.score, data, SCHEDULE, **options)
        else:
            f = diffusion.consistency_training(data, SCHEDULE, **options)
        took = time.process_time() - began
        for times in sized(((1.0,), (1.0, 0.5), (1.0, 0.3)), ((1.0, 0.3),)):
            known, found = (np.array([distance(g, times, k) for k in range(seeds)]) for g in (exact, f))
            over = found / known - 1.0
            bar = over.std(ddof=1) / np.sqrt(seeds)
            print(f"{name:>12s}{times!s:>12s}{known.mean():14.4f}{over.mean():10.2%}{bar:8.2%}{took:8.0f}")


if __name__ == "__main__":
    run()
