"""The shared zoo of measures and functionals; a new functional is tested by one line here."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import functionals as fn
from jko.measures import Density, Gaussian, Grid, Particles
from jko.transport import SquaredDistance


def quartic_internal(s):
    """U(s) = s⁴/3 + s²: convex, not a multiple of any power."""
    return s**4 / 3.0 + s**2


def square(s):
    return s**2


def bump(x):
    return jnp.exp(-0.5 * jnp.sum(x**2)) + 0.1 * jnp.sum(jnp.sin(x))


def general_kernel(x, y):
    """Neither symmetric nor a function of the difference."""
    return jnp.exp(-0.5 * jnp.sum((x - 2.0 * y) ** 2)) + jnp.sum(x) * jnp.sum(y**2)


def log_target(x):
    return -0.25 * jnp.sum(x**2) ** 2 - jnp.sum(x**2)


def gridded():
    axis = np.linspace(-7.0, 7.0, 56, endpoint=False) + 0.125
    return np.cos(axis) + 0.2 * axis


# every registered name, with functionals that stand for it on R^d
FUNCTIONALS = {
    "cap": lambda d: [fn.Cap(50.0)],
    "entropy": lambda d: [fn.Entropy()],
    "fermi_dirac": lambda d: [fn.FermiDirac(60.0)],
    "internal": lambda d: [
        fn.InternalEnergy(quartic_internal, displacement_convex=True),
        fn.InternalEnergy(square, displacement_convex=True),
    ],
    "interaction": lambda d: [
        fn.Interaction("gaussian", strength=0.7, width=0.8),
        fn.Interaction("logarithmic"),
        fn.Interaction(general_kernel, general=True),
        *(
            [
                fn.Interaction("morse"),
            ]
            if d < 3
            else []
        ),
        *(
            [
                fn.Interaction("quadratic", strength=1.5),
                fn.Interaction("power", exponent=-0.5, strength=-1.0),
                fn.Interaction("gaussian", strength=-0.7, width=0.8),
                fn.Interaction("power", exponent=4.0),
                fn.Interaction("cubic", strength=0.8),
                fn.Interaction("bounded_confidence", radius=1.1),
                fn.Interaction("power", exponent=1.5, strength=-1.0),
                fn.Interaction("power", exponent=1.5),
                fn.Interaction("logarithmic", strength=-1.0),
                fn.Interaction("quadratic_logarithmic"),
                fn.Interaction(lambda z: jnp.cos(jnp.sum(z)), linearly_convex=True, modulus=-1.0),
            ]
            if d == 1
            else []
        ),
    ],
    "kl": lambda d: [fn.KL(Gaussian(np.full(d, 0.3), 0.8 * np.eye(d))), fn.KL(log_target)],
    "mmd": lambda d: [
        fn.MMD(Gaussian(np.full(d, 0.3), 0.8 * np.eye(d)), width=0.8),
        *(
            [
                fn.MMD(particles(1, n=300, seed=4), "gaussian", width=0.6, strength=2.0),
                fn.MMD(particles(1, weighted=True, seed=5), "power", exponent=1.5, strength=-1.0),
            ]
            if d == 1
            else []
        ),
    ],
    "energy_distance": lambda d: [fn.EnergyDistance(particles(d, n=40, seed=6))] if d < 3 else [],
    "sliced_wasserstein": lambda d: (
        [fn.SlicedWasserstein(particles(d, n=301, weighted=True, seed=7), directions=8)] if d < 3 else []
    ),
    "sinkhorn_divergence": lambda d: (
        [fn.SinkhornDivergence(particles(d, n=30, seed=8), epsilon=0.5, tolerance=1e-12)] if d == 1 else []
    ),
    "squared_distance": lambda d: [SquaredDistance(particles(1, n=30, seed=9))] if d == 1 else [],
    "barycentre": lambda d: [fn.Barycentre(0.4, strength=1.3)],
    "moment": lambda d: [fn.Moment(lambda x: jnp.sum(x**2), 1.2, strength=0.7)],
    "dirichlet": lambda d: [fn.Dirichlet()],
    "fisher_information": lambda d: [fn.FisherInformation()],
    "gradient_energy": lambda d: [fn.GradientEnergy(lambda s: s**1.5)],
    "local_energy": lambda d: [fn.LocalEnergy(uneven)] if d < 3 else [],
    "phi_divergence": lambda d: [fn.PhiDivergence(target(d), hellinger)] if d < 3 else [],
    "chi_squared": lambda d: [fn.ChiSquared(target(d))],
    "renyi": lambda d: [fn.Renyi(target(d), order) for order in ((1.5, 0.5) if d < 3 else (1.5,))],
    "potential": lambda d: [
        fn.Potential(bump),
        fn.Potential("quadratic", stiffness=2.0, center=0.3),
        *(
            [
                fn.Potential("double_well", height=2.0, separation=3.0),
                fn.Potential("quartic", strength=0.5),
                fn.Potential("linear", slope=-0.4),
                fn.Potential("mexican_hat", height=0.5, radius=1.2),
                fn.Potential.gridded(gridded(), -7.0, 7.0),
            ]
            if d == 1
            else []
        ),
    ],
    "power": lambda d: [fn.Power(m) for m in (2.0, 3.0, 1.5, 0.6)],
    "two_layer_network": lambda d: [network(d, k) for k in (d - 2, d - 1) if k > 0],
    "reward": lambda d: [fn.Reward(bump, Gaussian(np.full(d, 0.3), 0.8 * np.eye(d)), strength=0.6)],
}


def uneven(x, s):
    """U(x, s) = (1 + x₁²/2)s² + s⁴/12: convex in s, more so far out."""
    return (1.0 + 0.5 * x[0] ** 2) * s**2 + s**4 / 12.0


def hellinger(r):
    """2(r − √r): between masses of 1 the same divergence as (√r − 1)²."""
    return 2.0 * (r - jnp.sqrt(r))


def target(dimension):
    """A Gaussian off the origin."""
    return Gaussian(np.full(dimension, 0.3), 1.3 * np.eye(dimension))


def teacher(inputs):
    """A smooth function to be learnt."""
    return np.tanh(1.5 * inputs[:, 0] - 0.3)


def network(neuron_dimension, inputs):
    """A two-layer network of `inputs` whose neurons are points of R^neuron_dimension."""
    samples = np.random.default_rng(4).normal(size=(7, inputs))
    return fn.TwoLayerNetwork(samples, teacher(samples), "tanh", bias=neuron_dimension == inputs + 2)


@functools.cache
def functionals(dimension: int) -> tuple[fn.Functional, ...]:
    """One or more functionals of every registered name, on R^dimension."""
    return tuple(F for name in sorted(FUNCTIONALS) for F in FUNCTIONALS[name](dimension))


def identifier(F) -> str:
    """How a functional is named in a test's id."""
    import re

    return re.sub(r"[^\w.=,-]+", "_", repr(F)).strip("_")


DISTANCES_TO_DATA = (fn.EnergyDistance, fn.SinkhornDivergence, fn.SlicedWasserstein, SquaredDistance)


def needs_density(F) -> bool:
    """Whether F is infinite or undefined on particles."""
    return bool(F.parts.kinds & {"entropy", "internal", "constraint", "local", "gradient"})


def singular(F) -> bool:
    """Whether F has a kernel that is infinite at 0."""
    return any(not np.isfinite(atom.W(jnp.zeros(1))) for _, atom in F.parts.interaction if not atom.general)


def piecewise_linear(F) -> bool:
    """Whether F of masses at fixed points is a transport cost to atoms: convex, and linear in pieces."""
    return isinstance(F, (fn.SlicedWasserstein, SquaredDistance))


def smooth(F) -> bool:
    """Whether the kernels and potentials of F are analytic."""
    kinked = any(not _smooth(atom.W) for _, atom in F.parts.interaction if not atom.general)
    gridded = any(isinstance(atom.V, fn.GriddedFunction) for _, atom in F.parts.potential)
    return not (kinked or gridded)


def _smooth(W) -> bool:
    """Whether neither W″ nor W‴ jumps along a ray, at 0 or farther out."""
    with jax.enable_x64(True):
        slope = jax.grad(lambda r: W(jnp.array([r])))
        curvature, bend = jax.vmap(jax.grad(slope)), jax.grad(jax.grad(slope))
        near = curvature(jnp.array([1e-5, 1e-3]))
        along = curvature(jnp.linspace(0.01, 3.0, 300))
        jumps = jnp.abs(jnp.diff(along)) / (1.0 + jnp.abs(along[1:]))
        at_zero = abs(slope(1e-8)) < 1e-3 and abs(near[0] - near[1]) < 0.1 and abs(bend(1e-3)) < 1.0
        return bool(at_zero and jumps.max() < 0.2)


def gaussian(dimension: int) -> Gaussian:
    """A correlated Gaussian off the origin."""
    covariance = 0.35 * np.eye(dimension) + 0.08
    return Gaussian(np.linspace(-0.3, 0.4, dimension), covariance)


def grid(dimension: int, cells: int | None = None) -> Grid:
    cells = {1: 96, 2: 24, 3: 10}[dimension] if cells is None else cells
    return Grid.uniform((-4.0,) * dimension, (4.0,) * dimension, (cells,) * dimension)


def density(dimension: int, seed: int = 0) -> Density:
    """A positive smooth density, of mass 1."""
    g = grid(dimension)
    generator = np.random.default_rng(seed)
    bumps = sum(
        generator.uniform(0.3, 1.0)
        * np.exp(-0.5 * np.sum((g.centers - generator.uniform(-1.5, 1.5, dimension)) ** 2, axis=-1) / s**2)
        for s in generator.uniform(0.5, 1.0, 3)
    )
    return Density(g, bumps + 0.01).normalized()


def density_with_vacuum(dimension: int = 1) -> Density:
    """The Barenblatt profile: empty cells round a bounded support."""
    g = grid(dimension)
    return Density(g, np.maximum(1.5 - np.sum(g.centers**2, axis=-1), 0.0)).normalized()


def particles(
    dimension: int, n: int = 23, weighted: bool = False, dtype=np.float64, seed: int = 0
) -> Particles:
    generator = np.random.default_rng(seed)
    positions = generator.normal(size=(n, dimension)).astype(dtype)
    weights = generator.uniform(0.5, 1.5, n)
    return Particles(positions, (weights / weights.sum()).astype(dtype) if weighted else None)


MEASURES = {
    "density 1D": lambda: density(1),
    "density 1D with vacuum": lambda: density_with_vacuum(1),
    "density 2D": lambda: density(2),
    "density 3D": lambda: density(3),
    "particles 1D": lambda: particles(1),
    "particles 2D float32": lambda: particles(2, dtype=np.float32),
    "particles 2D weighted": lambda: particles(2, weighted=True),
    "particles 3D weighted float32": lambda: particles(3, weighted=True, dtype=np.float32),
    "gaussian 1D": lambda: gaussian(1),
    "gaussian 2D": lambda: gaussian(2),
}
