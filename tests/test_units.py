"""The same problem in other units has the same answer: every engine, distance, map and functional.

Lengths × s, energies × e: points sx, potentials e·V(x/s), densities s^{−d}, times and τ × s²/e. Beside the
factors, the problem is moved by 1e5 lengths, reflected with axes and particles in another order, and measured
in decimal units, whose factors round. Schemes, distances and functionals are found by walking their
registries; what is not covered fails by name.

Factors are powers of two and data are multiples of 2⁻¹², so that the problems are the same to the bit: what
an iteration's stopping rule decides, and single precision inside of a preconditioner, is then the same too.
Decimal factors move the data by a rounding, after which an iterative solver may stop one round earlier or
later: what that may change is the solver's own tolerance, and stands beside it with its reason.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.measures import Density, Gaussian, Grid, Particles
from jko.scheme import Scheme
from jko.transport import (
    benamou_brenier,
    brenier_map,
    interpolate,
    moreau_envelope,
    prox,
    schrodinger_bridge,
    sinkhorn,
)
from jko.transport.wasserstein import METHODS

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Units:
    """x ↦ length · (±x + offset), axes and particles in reverse order where `turned`; energies × energy."""

    length: float = 1.0
    energy: float = 1.0
    offset: float = 0.0
    turned: bool = False

    @property
    def time(self):
        return self.length**2 / self.energy

    def points(self, x):
        x = -x[::-1, ::-1] if self.turned else x
        return self.length * (x + self.offset)

    def back(self, x):
        x = np.asarray(x, dtype=float) / self.length - self.offset
        return -x[::-1, ::-1] if self.turned else x

    def matrix(self, S):
        return self.length**2 * (S[::-1, ::-1] if self.turned else S)

    def function(self, f):
        """f of a point in the base's units, for points in these."""
        if self == BASE:
            return f
        return lambda x: self.energy * f(self._inner(x / self.length - self.offset))

    def kernel(self, f):
        if self == BASE:
            return f
        return lambda z: self.energy * f(self._inner(z / self.length))

    def _inner(self, x):
        return -x[::-1] if self.turned else x

    def grid(self, grid):
        lower, upper = np.array(grid.lower), np.array(grid.upper)
        if self.turned:
            lower, upper = -upper[::-1], -lower[::-1]
        cells = grid.cells[::-1] if self.turned else grid.cells
        ends = (tuple(self.length * (end + self.offset)) for end in (lower, upper))
        return Grid.uniform(*ends, cells, grid.periodic)

    def field(self, values, power=0):
        """Values `[*cells]` of a field of dimension length^power."""
        d = values.ndim
        values = np.flip(values.transpose(*range(d)[::-1])) if self.turned else values
        return self.length**power * values

    def field_back(self, values, power=0):
        d = values.ndim
        values = np.flip(values.transpose(*range(d)[::-1])) if self.turned else values
        return self.length**-power * values

    def measure(self, mu):
        """A measure in these units."""
        if isinstance(mu, Density):
            return Density(self.grid(mu.grid), self.field(mu.values, -mu.dimension))
        if isinstance(mu, Particles):
            weights = mu.weights[::-1] if self.turned else mu.weights
            return Particles(self.points(mu.positions), np.ascontiguousarray(weights))
        return Gaussian(self.points(mu.mean()[None])[0], self.matrix(mu.covariance()))

    def numbers(self, mu):
        """A measure of these units as numbers of order one."""
        if isinstance(mu, Density):
            return self.field_back(mu.values, -mu.dimension)
        if isinstance(mu, Particles):
            return self.back(mu.positions)
        S = mu.covariance() / self.length**2
        return np.vstack([self.back(mu.mean()[None]), S[::-1, ::-1] if self.turned else S])


BASE = Units()
EXACT = {
    "small lengths, large energies": Units(length=2.0**-20, energy=2.0**40),
    "large lengths, small energies": Units(length=2.0**20, energy=2.0**-40),
    "weak": Units(energy=1e-12),
    "strong": Units(energy=1e12),
    "far away": Units(offset=2.0**17),
    "turned": Units(turned=True),
}
DECIMAL_UNITS = {
    "micro": Units(length=1e-6, energy=1e12),
    "mega": Units(length=1e6, energy=1e-12),
}


def rounded(x):
    """To multiples of 2⁻¹², which stay exact far away and in powers of two."""
    return np.round(np.asarray(x) * 4096.0) / 4096.0


def spread(found, expected):
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# --- engines ---------------------------------------------------------------------------------------------

THETA = 0.4


def well(x):
    return (
        (x[0] ** 2 - 1.0) ** 2 / 4.0
        + 0.1 * x[0]
        + 0.5 * jnp.sum(x[1:] ** 2 * jnp.array([0.7, 1.3])[: x.size - 1])
    )


def bowl(x):
    return 0.5 * jnp.sum(x**2 * jnp.array([1.0, 0.6, 1.4])[: x.size])


def bump(z):
    return 0.3 * jnp.exp(-0.5 * jnp.sum(z**2))


@functools.cache
def potential(f, units):
    return fn.Potential(units.function(f))


@functools.cache
def interaction(units):
    return fn.Interaction(units.kernel(bump))


@functools.cache
def quadratic(units, d):
    stiffness = np.array([1.0, 0.6, 1.4])[:d]
    stiffness = stiffness[::-1] if units.turned else stiffness
    center = units.points(np.zeros((1, d)))[0]
    return fn.Potential("quadratic", stiffness=units.energy / units.length**2 * stiffness, center=center)


def entropy(units, d):
    return THETA * units.energy * fn.Entropy()


def squares(units, d):
    """½∫ρ²: energies times a volume."""
    return 0.5 * units.energy * units.length**d * fn.Power(2.0)


def line(cells=32):
    grid = Grid.uniform(-3.0, 3.0, cells)
    x = grid.axes[0]
    return Density(
        grid, np.exp(-0.5 * ((x + 0.4) / 0.75) ** 2) + 0.5 * np.exp(-2.0 * (x - 1.0) ** 2)
    ).normalized()


def plane(cells=16):
    grid = Grid.uniform((-3.0, -3.0), (3.0, 3.0), (cells, cells))
    x, y = grid.centers[..., 0], grid.centers[..., 1]
    return Density(grid, np.exp(-0.5 * ((x - 0.3) ** 2 + 1.5 * (y + 0.2) ** 2 + 0.6 * x * y))).normalized()


def cloud(d=2, n=20):
    return Particles(rounded(np.random.default_rng(d).normal(size=(n, d))))


def gaussian():
    return Gaussian(rounded([0.5, -0.25]), rounded([[0.8, 0.2], [0.2, 0.5]]))


# name: (measure, τ, functional of units and dimension), the fullest first
PROBLEMS = {
    "line, entropy and interaction": (
        line,
        0.1,
        lambda u, d: entropy(u, d) + potential(well, u) + interaction(u),
    ),
    "line, power": (line, 0.1, lambda u, d: squares(u, d) + potential(bowl, u)),
    "line, cap": (line, 0.1, lambda u, d: potential(bowl, u) + fn.Cap(0.6 / u.length**d)),
    "plane, entropy": (plane, 0.25, lambda u, d: entropy(u, d) + potential(bowl, u)),
    "cloud, entropy": (cloud, 0.05, lambda u, d: entropy(u, d) + potential(well, u)),
    "cloud, potential": (cloud, 0.05, lambda u, d: potential(well, u)),
    "gaussian": (gaussian, 0.1, lambda u, d: entropy(u, d) + quadratic(u, d)),
}


# refused beyond what a scheme declares, and why
REFUSED = {
    ("descent.Blob", "cloud, potential"): "has none: use descent.ForwardEuler",
    ("descent.SVGD", "cloud, potential"): "has none: use descent.ForwardEuler",
    ("steps.Linearized", "line, power"): "needs an internal energy with U′",
    ("steps.Quantile", "plane, entropy"): "moves densities on the line",
}


@pytest.mark.parametrize(("name", "problem"), REFUSED)
def test_what_is_refused_is_said(name, problem):
    measure, _, functional = PROBLEMS[problem]
    mu = measure()
    with pytest.raises(ValueError, match=REFUSED[name, problem]):
        Scheme.known[name]().prepare(functional(BASE, mu.dimension), mu)


def on_particles(name):
    return Particles in Scheme.known[name].measures


def deterministic():
    """The schemes of the house that draw no numbers; the others are held to their laws elsewhere."""
    for name, scheme in sorted(Scheme.known.items()):
        if scheme.__module__.startswith("jko.") and not hasattr(scheme, "seed"):
            yield name, scheme


def cases():
    for name, scheme in deterministic():
        lines = 0
        for problem, (measure, _, functional) in PROBLEMS.items():
            mu = measure()
            F = functional(BASE, mu.dimension)
            smooth = "line" in problem and "cap" not in problem
            if not isinstance(mu, scheme.measures) or not F.parts.kinds <= scheme.takes or (smooth and lines):
                continue
            if (name, problem) in REFUSED:
                continue
            yield name, problem
            lines += smooth
            if on_particles(name):  # programs compiled for each functional: the fullest problem
                break


COVERED = list(cases())
# programs of particles are compiled for each in both units: most are asked for by -m long
CASES = [
    pytest.param(*case, marks=pytest.mark.long)
    if on_particles(case[0]) and case[0] not in ("descent.ForwardEuler", "descent.Langevin")
    else case
    for case in COVERED
]


def made(name, units):
    """The scheme; a reaction has a length of its own, in these units too, and holds the mass, since the
    constant by which log ρ changes with the unit of length would make or lose some."""
    cls = Scheme.known[name]
    return cls() if cls.transports else cls(length=units.length, conserving=True)


def after(name, problem, units):
    """Numbers of the measure after two steps, and the energy's fall over them, in base units."""
    measure, tau, functional = PROBLEMS[problem]
    mu = units.measure(measure())
    F = functional(units, mu.dimension)
    run = jko.flow(F, mu, made(name, units), tau=tau * units.time, n_steps=2, progress=False)
    return units.numbers(run.final), (run.energy[0] - run.energy[-1]) / units.energy


@functools.cache
def reference(name, problem):
    return after(name, problem, BASE)


# engines whose answer moves by more than rounding, and why
OWN = {
    "descent.Trapezoidal": (1e-8, "its Newton solve stops at the rounding of positions 1e5 lengths away"),
    "steps.BackAndForth": (1e-8, "its preconditioner is in single precision"),
    "steps.Cvxpy": (2e-4, "an interior-point solver stops at 1e-8 of the program's own numbers"),
    "steps.MongeAmpere": (1e-8, "its preconditioner is in single precision"),
}
# the same with axes in another order
TURNED = {
    "limits.FiniteVolume": (5e-3, "Strang's splitting has an axis in the middle, at order 2 in time"),
    "steps.BackAndForth": (
        1e-5,
        "stops where a round of pairs gains little; cells round in another order",
    ),
    "steps.MongeAmpere": (1e-7, "its smoother goes through cells in order"),
}


def units_for(name):
    """All units for engines on grids; on particles, whose programs are compiled for each, all at once."""
    if not on_particles(name):
        return EXACT | DECIMAL_UNITS
    return {"small and far away": Units(length=2.0**-20, energy=2.0**40, offset=2.0**17, turned=True)}


@pytest.mark.parametrize(("name", "problem"), CASES)
def test_an_engine_has_the_same_answer_in_other_units(name, problem):
    expected, fall = reference(name, problem)
    own = OWN.get(name, (TOLERANCE, ""))
    for units in units_for(name).values():
        tolerance = (TURNED if units.turned else OWN).get(name, own)[0]
        found, energies = after(name, problem, units)
        assert spread(found, expected) < tolerance, units
        assert spread(energies, fall) < tolerance, units


def test_every_engine_has_a_problem():
    missing = {name for name, _ in deterministic()} - {name for name, _ in COVERED}
    assert not missing, f"add a problem that these schemes take: {missing}"


# --- distances, maps and curves --------------------------------------------------------------------------


def box(d, which=0, periodic=False):
    """A density in d dimensions on dyadic cells."""
    cells = {1: 32, 2: 16, 3: 8}[d]
    grid = Grid.uniform((-4.0,) * d, (4.0,) * d, (cells,) * d, periodic=periodic)
    x = grid.centers - (0.5 - which) * np.array([1.0, -0.5, 0.25])[:d]
    bumps = np.exp(-0.5 * np.sum(x**2 * [1.5, 1.0, 2.0][:d], axis=-1))
    bumps += (0.2 + 0.2 * which) * np.exp(-np.sum((x - 1.25) ** 2, axis=-1))
    return Density(grid, bumps).normalized()


def points(d, which=0):
    generator = np.random.default_rng(10 * d + which)
    n = (20, 17)[which]
    weights = rounded(generator.uniform(0.5, 1.5, n))
    return Particles(rounded(generator.normal(size=(n, d)) + 0.5 * which), weights / weights.sum())


def normal(d, which=0):
    S = np.array([[1.0, 0.25, 0.125], [0.25, 0.5, 0.0], [0.125, 0.0, 0.75]])[:d, :d]
    return Gaussian((0.5 - which) * np.array([1.0, -0.5, 0.25])[:d], (S, S[::-1, ::-1].copy())[which])


def circle(d, which=0):
    return box(d, which, periodic=True)


KINDS = {"densities": (box, box), "clouds": (points, points), "gaussians": (normal, normal),
         "density and cloud": (box, points), "tori": (circle, circle),
         "torus and cloud": (circle, points)}  # fmt: skip
# method: kinds of pairs in the dimensions in which it is held
HELD = {
    None: {"densities": (1, 2, 3), "clouds": (1, 2, 3), "gaussians": (2,), "density and cloud": (1, 2),
           "tori": (1, 2), "torus and cloud": (1, 2)},
    "quantile": {"densities": (1,), "clouds": (1,)},
    "circle": {"tori": (1,), "torus and cloud": (1,)},
    "bures": {"gaussians": (1, 3)},
    "back-and-forth": {"densities": (2, 3)},
    "exact": {"densities": (1, 2), "clouds": (1, 2, 3), "density and cloud": (3,)},
    "mixture-path": {"densities": (1, 2)},
    "semi-discrete": {"density and cloud": (1, 2)},
    "entropic": {"densities": (1, 2), "clouds": (2,)},
}  # fmt: skip
ALL = EXACT | DECIMAL_UNITS
# single precision in the multigrid of back-and-forth: a rounding of the data is one of 1e-7 in corrections,
# of which the value, stationary in the potentials, keeps the square
IN_SINGLE_PRECISION = 1e-8
# its smoother goes through cells in order, and it stops where a round gains little: 8³ cells stop elsewhere
IN_ORDER = 1e-3


def pair(kind, d, units):
    return tuple(units.measure(make(d, which)) for which, make in enumerate(KINDS[kind]))


def in_all_units(answer, decimal=TOLERANCE, turned=TOLERANCE, units=ALL):
    """`answer(units)` as numbers of the base's units, the same in all; a tolerance of its own in decimal
    units, and turned, for what is iterated to a tolerance."""
    expected = answer(BASE)
    for name, chosen in units.items():
        allowed = decimal if name in DECIMAL_UNITS else turned if chosen.turned else TOLERANCE
        assert spread(answer(chosen), expected) < allowed, name


@pytest.mark.parametrize("method", [None, *METHODS])
def test_a_distance_is_the_same_in_other_units(method):
    assert method in HELD, f"add {method!r} and the pairs it takes to HELD"
    for kind, dimensions in HELD[method].items():
        for d in dimensions:
            on_grids = kind == "densities" and d > 1 and method in (None, "back-and-forth")

            def distance(units, kind=kind, d=d):
                found = jko.wasserstein(*pair(kind, d, units), method)
                return np.array([found, found.error_bound]) / units.length

            # bounds of zero, and of rounding, are no numbers to compare, nor are estimates from halved grids
            exact = distance(BASE)[1] < 1e-12 or on_grids
            # Sinkhorn's iteration stops at an error of 1e-4 in the marginal, whose square is that of the cost
            loose = IN_SINGLE_PRECISION if on_grids else 1e-8 if method == "entropic" else TOLERANCE
            in_all_units(
                (lambda u, f=distance: f(u)[:1]) if exact else distance,
                decimal=loose,
                turned=IN_ORDER if on_grids else loose,
            )


@pytest.mark.slow
def test_maps_are_the_same_in_other_units():
    for kind, dimensions in {
        "densities": (1, 2, 3),
        "clouds": (1, 2),
        "gaussians": (2,),
        "density and cloud": (1, 2),
    }.items():
        for d in dimensions:
            x = (
                points(d).positions
                if kind == "clouds"
                else rounded(np.random.default_rng(0).normal(size=(9, d)))
            )

            def images(units, kind=kind, d=d, x=x):
                T = brenier_map(*pair(kind, d, units))
                u = T.potential(units.points(x)) / units.length**2
                away = units.offset * (x - x[:1]).sum(axis=1)  # far away u has c·x beside it
                u = (u[::-1] if units.turned else u) - away
                return np.column_stack([units.back(T(units.points(x))), u - u[0]])

            # slopes of potentials keep the root of what their value keeps; cells are 1 wide in space
            on_grids = kind == "densities" and d > 1
            in_all_units(images, 1e-6 if on_grids else TOLERANCE, 2e-2 if on_grids else TOLERANCE)


def test_sinkhorn_is_the_same_in_other_units():
    for kind, d in (("densities", 1), ("densities", 2), ("clouds", 2), ("gaussians", 2)):

        def answer(units, kind=kind, d=d):
            found = sinkhorn(*pair(kind, d, units), 0.5 * units.length**2)
            numbers = [found.cost, found.value]
            if kind != "gaussians":
                numbers.append(found.transport_cost)
            return np.array(numbers) / units.length**2

        in_all_units(answer)


def test_dynamic_transport_and_bridges_are_the_same_in_other_units():
    for d, times in ((1, 8), (2, 4)):  # in single precision, to a tolerance of 1e-5
        in_all_units(
            lambda u, d=d, k=times: benamou_brenier(*pair("densities", d, u), n_times=k).value / u.length**2,
            turned=1e-7,
        )
    for kind, d in (("densities", 1), ("gaussians", 2)):
        in_all_units(
            lambda u, kind=kind, d=d: (
                schrodinger_bridge(*pair(kind, d, u), 0.5 * u.length**2).cost / u.length**2
            )
        )
    in_all_units(
        lambda u: schrodinger_bridge(*pair("clouds", 2, u), 0.5 * u.length**2).static_cost / u.length**2
    )


@pytest.mark.parametrize("kind", ["displacement", "mixture", "product"])
def test_curves_are_the_same_in_other_units(kind):
    for kinds, d in (("densities", 1), ("densities", 2), ("clouds", 2)):
        on_grids = kind == "displacement" and d > 1 and kinds == "densities"
        # turned clouds have their pairs in another order; products deposit cells from the lower wall on
        ordered = kinds == "clouds" or kind == "product"
        in_all_units(
            lambda u, kinds=kinds, d=d: u.numbers(interpolate(*pair(kinds, d, u), 0.375, kind)),
            decimal=1e-6 if on_grids else TOLERANCE,
            turned=1e-4 if on_grids else TOLERANCE,
            units={name: u for name, u in ALL.items() if not (ordered and u.turned)},
        )


def test_envelopes_are_the_same_in_other_units():
    """e_sf and prox with energies × e and s × length²/e."""
    grid = Grid.uniform(-2.0, 2.0, 32)
    values = well_on(grid)

    def answer(units):
        f, s = units.energy * units.field(values), 0.25 * units.time
        where = units.grid(grid)
        found = units.back(prox(f, s, where)) if not units.turned else -prox(f, s, where)[::-1]
        return np.column_stack([units.field_back(moreau_envelope(f, s, where)) / units.energy, found])

    in_all_units(answer)


def well_on(grid):
    x = grid.axes[0]
    return (x**2 - 1.0) ** 2 + 0.125 * x


# --- certified numbers -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_certified_distances_hold_the_truth_in_any_unit():
    """Against Bures and quantiles: |W₂ − exact| ≤ error_bound, and potentials bound W₂² from below."""
    generator = np.random.default_rng(5)
    for trial in range(24):
        length = 10.0 ** generator.integers(-6, 7)
        m, s = length * generator.normal(size=2), length * generator.uniform(0.2, 2.0, size=2)
        truth = np.hypot(m[0] - m[1], s[0] - s[1])
        first, second = (Gaussian.of(a, b) for a, b in zip(m, s, strict=True))
        reach = max(abs(m)) + 8.0 * max(s)
        grid = Grid.uniform(-reach, reach, 64)
        on_grid = first.on(grid), second.on(grid)
        exact = jko.wasserstein(*on_grid)
        for method in ("exact", "entropic", "mixture-path"):
            found = jko.wasserstein(*on_grid, method)
            assert abs(found - exact) <= found.error_bound + 1e-9 * exact, (trial, method)
        assert jko.wasserstein(first, second) == pytest.approx(truth, rel=1e-12)
        assert jko.wasserstein(first, second, "quantile") == pytest.approx(truth, rel=1e-6)
        clouds = [Particles(length * generator.normal(size=(n, 1))) for n in (9, 13)]
        exact = jko.wasserstein(*clouds, "exact")
        assert exact == pytest.approx(jko.wasserstein(*clouds), rel=1e-10)
        assert abs(exact.gap) <= 1e-10 * exact**2
        entropic = jko.wasserstein(*clouds, "entropic")
        assert abs(entropic - exact) <= entropic.error_bound * (1.0 + 1e-9)


def test_a_cloud_is_at_no_distance_from_itself():
    for length in (1e-6, 1.0, 1e6):
        cloud = Particles(length * (np.random.default_rng(0).normal(size=(40, 2)) + 1e5))
        assert jko.wasserstein(cloud, cloud) <= 1e-9 * length


# --- functionals -----------------------------------------------------------------------------------------


def reward(x):
    return jnp.sin(x[0]) + 0.1 * jnp.sum(x)


def quartic_internal(s):
    return s**4 / 3.0 + s**2


def internal(u, d):
    if u == BASE:
        return fn.InternalEnergy(quartic_internal)
    volume = u.length**d
    return fn.InternalEnergy(lambda s: u.energy / volume * quartic_internal(volume * s))


def target(u, d):
    return u.measure(normal(d))


# every registered functional in these units on R^d, or why it has none
FUNCTIONALS = {
    "entropy": entropy,
    "power": squares,
    "fermi_dirac": lambda u, d: u.energy * fn.FermiDirac(2.0 / u.length**d),
    "internal": internal,
    "potential": lambda u, d: potential(well, u),
    "interaction": lambda u, d: interaction(u),
    "cap": lambda u, d: fn.Cap(50.0 / u.length**d),
    "kl": lambda u, d: u.energy * fn.KL(target(u, d)),
    "mmd": lambda u, d: u.energy * fn.MMD(u.measure(points(d)), "gaussian", width=0.75 * u.length),
    "reward": lambda u, d: (
        u.energy * fn.Reward(replace(u, energy=1.0).function(reward), target(u, d), strength=0.5)
    ),
    **dict.fromkeys(
        ("chi_squared", "phi_divergence", "renyi", "local_energy", "moment", "barycentre"),
        "rates and values in two systems of units: tests/functionals/test_relative.py",
    ),
    **dict.fromkeys(
        ("energy_distance", "sliced_wasserstein", "sinkhorn_divergence", "squared_distance"),
        "lengths by their laws: tests/functionals/test_distances_to_data.py",
    ),
    **dict.fromkeys(
        ("dirichlet", "fisher_information", "gradient_energy"),
        "whole runs in two systems of units: tests/limits/test_fourth_order.py",
    ),
    "two_layer_network": "its particles are weights of a network, not points of space",
}


def test_every_functional_has_its_units():
    assert set(FUNCTIONALS) == set(fn.available())


@pytest.mark.parametrize("name", [name for name, made in FUNCTIONALS.items() if callable(made)])
def test_a_functional_is_the_same_in_other_units(name):
    """Differences of energies and first variations, and gradients: an entropy is known up to a constant."""

    def answer(units):
        parts = []
        for make in (box, points):
            mu, nu = (units.measure(make(1, which)) for which in range(2))
            F = FUNCTIONALS[name](units, 1)
            try:
                fall = F(mu) - F(nu)
            except jko.errors.InfiniteEnergy:  # on particles
                continue
            variation = F.first_variation(mu) - F.first_variation(mu).reshape(-1)[0]
            slope = units.length * np.asarray(F.wasserstein_gradient(mu)).reshape(-1)
            parts += [[fall], variation.reshape(-1), slope]
        return np.concatenate(parts) / units.energy

    expected = answer(BASE)
    found = answer(Units(length=2.0**-20, energy=2.0**40, offset=2.0**17))
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [jko.steps.PrimalDual(), jko.steps.BackAndForth()], ids=["flows", "duals"])
def test_a_mass_in_a_far_unit_takes_the_same_step_or_is_refused(scheme):
    """Powers of densities leave the range of floats, and a root was sought of NaN."""
    grid = jko.Grid.uniform(-4.0, 4.0, 60)
    plain = jko.Density.gaussian(grid, 1.0, 0.5)
    means = []
    for unit in (1.0, 1e-30, 1e30):
        F = fn.Power(2.0) * (1.0 / unit) + fn.Potential("quadratic")
        run = jko.flow(F, jko.Density(grid, unit * plain.values), scheme, tau=0.1, n_steps=1)
        means.append(run.final.mean()[0])
    assert means == pytest.approx([1.0 / 1.1] * 3, abs=1e-3)
    for unit in (1e-100, 1e100):
        with pytest.raises(ValueError, match="measure: expected a largest density between"):
            jko.flow(fn.Entropy(), jko.Density(grid, unit * plain.values), scheme, tau=0.1, n_steps=1)
