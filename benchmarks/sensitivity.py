"""jko.sensitivity: the way back beside the way forth, gradients beside differences, a potential recovered.

`python benchmarks/sensitivity.py [--smoke] [cost] [differences] [recover]`, all by default. The cost is in
CPU seconds, both ways in turn, since a machine shared by others changes its pace; the rest is of the wall.
Calls that compile do not count.
"""

from __future__ import annotations

import time

import jax.numpy as jnp
import numpy as np
from rows import row, run, sized
from scipy.optimize import minimize

import functionals as fn
import jko
from jko.sensitivity import value_and_gradient
from jko.sensitivity.engines import derivative_of

PLANE = sized(128, 24)
LINE = sized(1000, 60)


def heated(p):
    V = fn.Potential(lambda x: 0.5 * jnp.sum(p["stiffness"] * x**2) + p["hill"] * jnp.cos(2.0 * x[0]))
    return V + p["theta"] * fn.Entropy()


def cold(p):
    return fn.Potential(lambda x: 0.5 * jnp.sum(p["stiffness"] * x**2) + p["hill"] * jnp.cos(2.0 * x[0]))


PARAMETERS = {"stiffness": 1.2, "hill": 0.4, "theta": 0.5}


def plane(cells):
    grid = jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), (cells, cells))
    return jko.Density.gaussian(grid, mean=(0.6, -0.3), std=0.8)


def second_moment(mu):
    return mu.integrate(lambda x: jnp.sum(x**2))


def problems():
    line = jko.Density.gaussian(jko.Grid.uniform(-6.0, 6.0, LINE), mean=0.6, std=0.8)
    cloud = jko.Particles(np.random.default_rng(0).normal(size=(sized(20_000, 200), 2)))
    return {
        "steps.Gaussian, d = 3": (jko.Gaussian.of(0.5, 0.8, dimension=3), jko.steps.Gaussian()),
        f"steps.Quantile, {LINE}": (line, jko.steps.Quantile()),
        f"steps.MongeAmpere, {PLANE}^2": (plane(PLANE), jko.steps.MongeAmpere()),
        f"steps.Linearized, {PLANE}^2": (plane(PLANE), jko.steps.Linearized()),
        f"steps.BackAndForth, {PLANE}^2": (plane(PLANE), jko.steps.BackAndForth()),
        f"limits.FiniteVolume, {PLANE}^2": (plane(PLANE), jko.limits.FiniteVolume()),
        f"descent.ForwardEuler, {cloud.n}": (cloud, jko.descent.ForwardEuler()),
        f"descent.BackwardEuler, {cloud.n}": (cloud, jko.descent.BackwardEuler()),
        f"descent.Langevin, {cloud.n}": (cloud, jko.descent.Langevin()),
    }


def quadratic(p):
    return fn.Potential(lambda x: 0.5 * p["stiffness"] * jnp.sum(x**2)) + p["theta"] * fn.Entropy()


def forth_and_back(make, mu, scheme):
    """CPU seconds of a step and of its pull-back, medians, and the residual of the adjoint."""
    engine = derivative_of(make, PARAMETERS, mu, scheme)
    state, rng = engine.problem.start, np.random.default_rng(1)
    taken = engine.step(mu, state, 0.0, 0.1)
    after = {k: 1.0 + 0.1 * rng.normal(size=a.shape) for k, a in mu.packed().items()}
    after = {**engine.nothing(taken.tape), **after}
    pulled, times = engine.pull(taken.tape, after), []
    for _ in range(sized(25, 3)):
        first = time.process_time()
        engine.step(mu, state, 0.0, 0.1)
        second = time.process_time()
        engine.pull(taken.tape, after)
        times.append((second - first, time.process_time() - second))
    return *np.median(times[1:], axis=0), pulled.residual


@row
def cost():
    print(
        "\none step of tau = 0.1: CPU seconds forth and back (goal: back <= forth), residual of the adjoint"
    )
    for name, (mu, scheme) in problems().items():
        make = cold if name.startswith(("descent.F", "descent.B")) else heated
        forth, back, residual = forth_and_back(quadratic if "Gaussian" in name else make, mu, scheme)
        print(f"{name:36s} {forth:9.4f} {back:9.4f}  {back / forth:6.2f}  {residual:8.1e}")


@row
def differences():
    print("\n20 steps' gradient by (stiffness, hill, theta): largest relative error against differences")
    sharp = {
        "steps.Quantile": (jko.Density.gaussian(jko.Grid.uniform(-6.0, 6.0, 100), mean=0.6, std=0.8),
                           jko.steps.Quantile(tolerance=1e-13)),
        "steps.MongeAmpere": (plane(sized(48, 24)), jko.steps.MongeAmpere(tolerance=1e-14)),
        "steps.Linearized": (plane(sized(48, 24)), jko.steps.Linearized(tolerance=1e-12)),
        "limits.FiniteVolume": (plane(sized(48, 24)), jko.limits.FiniteVolume()),
    }  # fmt: skip
    for name, (mu, scheme) in sharp.items():
        settings = {"tau": 0.05, "n_steps": sized(20, 3)}

        def value(p, mu=mu, scheme=scheme, settings=settings):
            return value_and_gradient(second_moment, heated, p, mu, scheme, **settings)

        found, worst = value(PARAMETERS), 0.0
        for key, here in PARAMETERS.items():
            near, far = (
                value({**PARAMETERS, key: here + by}).value - value({**PARAMETERS, key: here - by}).value
                for by in (2e-3, 4e-3)
            )
            slope = (8.0 * near - far) / 0.024
            worst = max(worst, abs(found.gradient[key] - slope) / abs(slope))
        print(f"{name:20s} {worst:8.1e}  residual {found.record.worst_residual:8.1e}")


@row
def recover():
    steps = sized(20, 3)
    print(
        f"\nV by gradient through {steps} exact steps at {PLANE}^2 (goal: the loss falls 100-fold in 120 s)"
    )
    mu, scheme = plane(PLANE), jko.steps.MongeAmpere()
    centres = np.stack(np.meshgrid(*[np.linspace(-1.5, 1.5, 4)] * 2), axis=-1).reshape(-1, 2)

    def make(weights):
        def V(x):
            return 0.5 * jnp.sum(x**2) + weights @ jnp.exp(
                -0.5 * jnp.sum((x - centres) ** 2, axis=1) / 0.6**2
            )

        return fn.Potential(V) + 0.4 * fn.Entropy()

    truth = np.random.default_rng(3).normal(size=len(centres)) * 0.4
    seen = jko.flow(make(truth), mu, scheme, tau=0.05, n_steps=steps).final.values
    volume = mu.grid.cell_volume

    def loss(mu):
        return volume * jnp.sum((mu.values - seen) ** 2)

    start, path = time.perf_counter(), []

    def told(weights):
        value, slope = value_and_gradient(loss, make, weights, mu, scheme, tau=0.05, n_steps=steps)
        path.append((time.perf_counter() - start, value))
        return 1e3 * value, 1e3 * slope

    minimize(told, np.zeros(len(centres)), jac=True, method="L-BFGS-B", options={"maxfun": sized(40, 4)})
    first = path[0][1]
    for fall in (10.0, 100.0, 1e3, 1e4):
        reached = [(at, k + 1) for k, (at, value) in enumerate(path) if value <= first / fall]
        if reached:
            print(f"loss down {fall:7.0f}-fold after {reached[0][0]:6.1f} s, {reached[0][1]} gradients")
    print(f"after {path[-1][0]:.1f} s and {len(path)} gradients: {first / min(v for _, v in path):.0f}-fold")


if __name__ == "__main__":
    run()
