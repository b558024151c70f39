"""The runs that are compared across devices; as a program, the same runs on eight devices or two processes.

`python -m tests.sharding.program devices FOLDER` or `... process NUMBER PORT FOLDER`.
"""

import os
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import functionals as fn
import jko

NOISY = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))  # in whose force nothing is rounded apart
INERTIA = jko.descent.UnderdampedLangevin(seed=1, observables={"centre": "mean"})
SCHEME = jko.descent.Langevin(seed=1, observables={"centre": "mean", "spread": "covariance"})
TAU = 0.01


class SquaredMoment(fn.Functional):
    """½(∫|x|² dα)²: of no kind that is spread by hand."""

    def energy(self, mu):
        return 0.5 * mu.integrate(lambda x: jnp.sum(x**2)) ** 2


def skew(x, y):
    return jnp.exp(-jnp.sum((x - 2.0 * y) ** 2))


PAIRS = (
    fn.Potential(lambda x: jnp.sum(jnp.cosh(x)))
    + 0.5 * fn.Interaction("gaussian", width=0.5)
    + fn.Interaction("logarithmic")
    + fn.Interaction(skew, general=True)
    + SquaredMoment()
)


def particles(dtype=np.float64, n=101):
    """Weighted, and no multiple of eight of them."""
    generator = np.random.default_rng(0)
    weights = generator.uniform(0.5, 1.5, n)
    return jko.Particles(generator.normal(size=(n, 2)).astype(dtype), (weights / weights.sum()).astype(dtype))


def runs():
    """Every run that is compared, as arrays by name."""
    found = {}
    for name, functional, scheme, mu in (
        ("noise", NOISY, SCHEME, particles(np.float32)),
        ("noise and inertia", NOISY, INERTIA, particles(np.float32)),
        ("pairs with noise", fn.Entropy() + PAIRS, SCHEME, particles()),
        ("pairs", PAIRS, jko.descent.ForwardEuler(), particles()),
    ):
        run = jko.flow(functional, mu, scheme, tau=TAU, n_steps=4, store_every=2)
        found[f"{name}: positions"] = run.final.positions
        found[f"{name}: energy"] = run.energy
        found[f"{name}: dissipation"] = run.info["dissipation"]
        for column in ("centre", "spread"):
            if column in run.info:
                found[f"{name}: {column}"] = run.info[column]
    return found


def long_run(n_steps, checkpoint=None):
    """The run that is cut off and goes on elsewhere."""
    return jko.flow(
        NOISY, particles(), SCHEME, tau=TAU, n_steps=n_steps, store_every=5, checkpoint=checkpoint
    )


def on_eight_devices(folder):
    with jko.sharding.over(8):
        np.savez(folder / "eight.npz", **runs())
        long_run(10, folder / "long.ckpt")


def as_process(number, port, folder):
    jko.sharding.initialize(f"127.0.0.1:{port}", 2, number, heartbeat_seconds=100)  # a machine may be slow
    with jko.sharding.over():
        found = runs()
        if jko.sharding.leads():
            np.savez(folder / "two.npz", **found)
        if number == 1:
            dies_after(jko.descent.Langevin, blocks=2)
        try:
            long_run(100, folder / "long.ckpt")
        except ConnectionError as error:
            print(error, flush=True)
            os._exit(3)  # rather than wait for the dead one's heartbeat


def dies_after(scheme, blocks):
    """Make this process end without a word once it has done so many blocks of steps."""
    advance, done = scheme.advance, []

    def dying(self, *arguments):
        done.append(0)
        if len(done) > blocks:
            os._exit(9)
        return advance(self, *arguments)

    scheme.advance = dying


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if kind == "devices":
        on_eight_devices(Path(arguments[0]))
    else:
        as_process(int(arguments[0]), arguments[1], Path(arguments[2]))
