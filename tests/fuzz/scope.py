"""Random problems beyond the box: tori, rooms, doors, sources, other metrics, edges, shells, species,
wrappers, time, space and particles, each asked of the engines that declare them."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

import functionals as fn
import jko
from jko import descent, limits, steps
from tests.fuzz import problems as box
from tests.fuzz.problems import HALF_WIDTH, Problem, Trial, Units

PERIOD = 2.0 * HALF_WIDTH
MANY = 8  # steps in which finite volumes say what one step of theirs is worth


def one_wave(x):
    return -jnp.sum(jnp.cos(2.0 * jnp.pi * x / PERIOD))


def three_waves(x):
    return jnp.sum(jnp.sin(6.0 * jnp.pi * x / PERIOD) + 0.5 * jnp.cos(2.0 * jnp.pi * x / PERIOD))


def kinked_wave(x):
    return 2.0 * jnp.sum(jnp.abs(jnp.sin(jnp.pi * x / PERIOD)))


PERIODIC_POTENTIALS = (one_wave, three_waves, kinked_wave)
PERIODIC_KERNELS = (one_wave, box.wide_gaussian, box.cut_distance, box.minus_logarithm)


def bowl(x):
    return 0.5 * jnp.sum(x**2)


def ring(x):
    return 0.25 * (jnp.sum(x**2) - 1.5) ** 2


def cone(x):
    return jnp.sqrt(jnp.sum(x**2) + 1e-4)


def ripples(x):
    return jnp.cos(2.5 * jnp.sqrt(jnp.sum(x**2) + 1e-4)) + 0.1 * jnp.sum(x**2)


RADIAL_POTENTIALS = (bowl, ring, cone, ripples)
RADIAL_KERNELS = (box.wide_gaussian, box.spring)


def trap(x, t):
    return 0.5 * jnp.sum((x - jnp.sin(3.0 * t)) ** 2)


def breathing(x, t):
    return (1.0 + 0.5 * jnp.cos(5.0 * t)) * jnp.sum(x**2)


def slope_in_time(x, t):
    return (1.0 - 2.0 * t) * jnp.sum(x)


IN_TIME = (trap, breathing, slope_in_time)


def scoped(seed: int, in_units: bool = True) -> Problem:
    """The problem of a seed over the whole scope of the engines: a third of them in a box."""
    kind, generator = kind_of(seed), np.random.default_rng([20261129, seed, 1])
    if kind == "box":
        return box.problem(seed, in_units)
    units = box.drawn_units(generator)
    units = units if in_units else Units()
    return KINDS[kind][1](seed, generator, units)


def kind_of(seed: int) -> str:
    """Which kind of problem the seed draws."""
    weights = [weight for weight, _ in KINDS.values()]
    return str(np.random.default_rng([20261129, seed]).choice(list(KINDS), p=weights))


def named(*schemes: jko.Scheme) -> dict[str, Trial]:
    """Schemes by the names that a user finds them under."""
    return {scheme.scheme_name(): Trial(scheme) for scheme in schemes}


def finite_volumes(**settings) -> dict[str, Trial]:
    """Finite volumes in one step of τ and in many."""
    scheme = limits.FiniteVolume(**settings)
    return {"limits.FiniteVolume": Trial(scheme), "limits.FiniteVolume in many": Trial(scheme, MANY)}


def eulerian(generator, **settings) -> tuple[dict[str, Trial], tuple]:
    """The two solvers of the dynamic step, in the same number of slices."""
    slices = int(generator.integers(1, 3))
    found = named(
        steps.PrimalDual(slices=slices, **settings),
        steps.Cvxpy(formulation="eulerian", slices=slices, **settings),
    )
    return found, (tuple(found),)


def _step(generator, units: Units, low: float = -2.5, high: float = 0.7) -> float:
    return float(10.0 ** generator.uniform(low, high)) * units.time


def _made(seed, kind, F, parts, mu, tau, units, trials, **more) -> Problem:
    grid = getattr(mu, "grid", None)
    size = "x".join(map(str, grid.cells)) + " cells" if grid is not None else repr(mu)
    label = f"{kind}: {' + '.join(parts)}, {size}, tau = {tau / units.time:.3g} in {units}"
    return Problem(seed, F, mu, tau, units, label, trials, **more)


def _grid(generator, units: Units, dimension: int, cells: dict, **more) -> jko.Grid:
    low, high = cells[dimension]
    lower, upper = ((units.offset + side * HALF_WIDTH) * units.length for side in (-1.0, 1.0))
    counts = tuple(int(n) for n in generator.integers(low, high + 1, dimension))
    return jko.Grid.uniform((lower,) * dimension, (upper,) * dimension, counts, **more)


def _terms(generator, mu, units: Units, potentials, kernels, cap: bool = True):
    """(F, names): an internal energy, a potential, an interaction and a cap, each with some probability."""
    terms, names = [], []
    if generator.random() < 0.8:
        terms, names = box.internal_energy(generator, mu.dimension, units)
    V = potentials[generator.integers(len(potentials))]
    if generator.random() < 0.8 or not terms:
        c = float(generator.uniform(0.3, 2.0))
        terms.append(c * units.energy * fn.Potential(units.function(V)))
        names.append(f"{c:.2g} {V.__name__}")
    if kernels and generator.random() < 0.3:
        c, W = float(generator.uniform(-1.0, 1.0)), kernels[generator.integers(len(kernels))]
        c = abs(c) if W is box.minus_logarithm else c
        kernel = box.reversed_sign(W) if c < 0.0 else W
        terms.append(abs(c) * units.energy * fn.Interaction(units.kernel(kernel)))
        names.append(f"{c:.2g} {W.__name__}")
    if cap and generator.random() < 0.25:
        terms.append(fn.Cap(float(np.max(mu.values) * generator.uniform(1.0, 1.6))))
        names.append("cap")
    return sum(terms[1:], terms[0]), names


def torus(seed, generator, units) -> Problem:
    """Along one axis or more the box closes on itself; two engines solve one discrete problem."""
    dimension = 1 if generator.random() < 0.6 else 2
    turns = (True,) if dimension == 1 else ((True, True), (True, False))[generator.integers(2)]
    grid = _grid(generator, units, dimension, {1: (24, 64), 2: (8, 11)}, periodic=turns)
    values, shape = box.drawn_density(generator, grid, units)
    mu = jko.Density(grid, values).normalized()
    F, parts = _terms(generator, mu, units, PERIODIC_POTENTIALS, PERIODIC_KERNELS[: 5 - dimension])
    dynamic, twins = eulerian(generator)
    others = named(steps.MongeAmpere(), steps.BackAndForth(), steps.Entropic(), steps.Linearized())
    others |= named(steps.Quantile()) if dimension == 1 else {}
    trials = {**dynamic, **others, **finite_volumes()}
    return _made(seed, f"torus, {shape}", F, parts, mu, _step(generator, units), units, trials, twins=twins)


def _walls(generator, cells: tuple) -> np.ndarray:
    """The inside of a room: an L, a pillar, a wall with a gap, or some cells left out."""
    inside, kind = np.ones(cells, bool), generator.integers(4)
    if len(cells) == 1:
        inside[: int(generator.integers(1, cells[0] // 4))] = False
    elif kind == 0:
        inside[cells[0] // 2 :, cells[1] // 2 :] = False
    elif kind == 1:
        middle = [n // 2 for n in cells]
        inside[middle[0] - 1 : middle[0] + 2, middle[1] - 1 : middle[1] + 1] = False
    elif kind == 2:
        inside[cells[0] // 2, int(generator.integers(1, 4)) :] = False
    else:
        inside &= generator.random(cells) > 0.12
    return inside


def _in_a_room(generator, units: Units, dimension: int, doors: bool):
    """(μ, its shape) in a room, with doors along an end of the last axis if asked."""
    grid = _grid(generator, units, dimension, {1: (24, 60), 2: (8, 11)})
    inside = _walls(generator, grid.cells)
    exits = np.zeros(grid.cells, bool)
    exits[..., -1] = True
    exits &= inside
    exits = exits if doors and exits.any() else None
    values, shape = box.drawn_density(generator, grid, units)
    values = values * inside
    values = np.where(inside, 1.0, 0.0) if values.max() <= 0.0 else values
    furnished = jko.Grid.uniform(grid.lower, grid.upper, grid.cells, inside=inside, doors=exits)
    if exits is not None:
        values = np.where(exits, 0.0, values) if values[~exits].max() > 0.0 else inside & ~exits
    return jko.Density(furnished, values.astype(float)).normalized(), shape


def room(seed, generator, units) -> Problem:
    """Cells are left out of the box, and are walls."""
    mu, shape = _in_a_room(generator, units, 1 if generator.random() < 0.2 else 2, False)
    F, parts = _terms(generator, mu, units, box.POTENTIALS, box.KERNELS)
    dynamic, twins = eulerian(generator)
    trials = {**dynamic, **named(steps.BackAndForth(), steps.Entropic()), **finite_volumes()}
    return _made(seed, f"room, {shape}", F, parts, mu, _step(generator, units), units, trials, twins=twins)


def doors(seed, generator, units) -> Problem:
    """Mass leaves at one end."""
    mu, shape = _in_a_room(generator, units, 1 if generator.random() < 0.4 else 2, True)
    F, parts = _terms(generator, mu, units, box.POTENTIALS, box.KERNELS)
    tau = _step(generator, units, high=0.0)
    trials = named(steps.PrimalDual()) | finite_volumes()
    return _made(seed, f"doors, {shape}", F, parts, mu, tau, units, trials, decays=False)


def _small(generator, units: Units, periodic: bool = False):
    dimension = 1 if generator.random() < 0.7 else 2
    grid = _grid(generator, units, dimension, {1: (20, 48), 2: (6, 9)}, periodic=periodic)
    values, shape = box.drawn_density(generator, grid, units)
    return jko.Density(grid, values).normalized(), shape


def source(seed, generator, units) -> Problem:
    """Mass is made and lost, at once, by splitting and in the PDE."""
    mu, shape = _small(generator, units, generator.random() < 0.2)
    periodic = mu.grid.is_periodic
    atoms = PERIODIC_POTENTIALS if periodic else box.POTENTIALS
    F, parts = _terms(generator, mu, units, atoms, (), generator.random() < 0.5)
    length = float(10.0 ** generator.uniform(-0.7, 0.7)) * units.length
    dynamic, twins = eulerian(generator, length=length)
    inner = steps.PrimalDual() if periodic or mu.dimension > 1 else steps.Quantile()
    split = steps.HellingerKantorovich(inner, length=length)
    strang = steps.HellingerKantorovich(limits.FiniteVolume(), length=length, order=2)
    trials = {**dynamic, "split": Trial(split), "Strang": Trial(strang)}
    trials |= finite_volumes(reaction=F, length=length)
    tau = _step(generator, units, high=0.0)
    return _made(seed, f"source, {shape}", F, parts, mu, tau, units, trials, twins=twins)


def mobility(seed, generator, units) -> Problem:
    """Crowded places slow down: the distance of a concave mobility, and its PDE."""
    mu, shape = _small(generator, units, generator.random() < 0.25)
    cap = float(mu.values.max() * generator.uniform(1.0, 2.5))
    atoms = PERIODIC_POTENTIALS if mu.grid.is_periodic else box.POTENTIALS
    F, parts = _terms(generator, mu, units, atoms, (), False)
    if generator.random() < 0.4:
        F, parts = units.energy * fn.FermiDirac(cap) + F, ["holes", *parts]
    exclusion = jko.Exclusion(cap)
    dynamic, twins = eulerian(generator, mobility=exclusion)
    trials = {**dynamic, **finite_volumes(mobility=exclusion)}
    kind, tau = f"exclusion, {shape}", _step(generator, units)
    return _made(seed, kind, F, parts, mu, tau, units, trials, twins=twins)


def metric(seed, generator, units) -> Problem:
    """A matrix makes some directions easier than others."""
    grid = _grid(generator, units, 2, {2: (9, 14)}, periodic=bool(generator.random() < 0.25))
    values, shape = box.drawn_density(generator, grid, units)
    mu = jko.Density(grid, values).normalized()
    atoms = PERIODIC_POTENTIALS if grid.is_periodic else box.POTENTIALS
    F, parts = _terms(generator, mu, units, atoms, (), False)
    angle, ratio = generator.uniform(0.0, np.pi), 10.0 ** generator.uniform(-1.0, 0.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    trials = finite_volumes(metric=turn @ np.diag([1.0, ratio]) @ turn.T)
    return _made(seed, f"metric, {shape}", F, parts, mu, _step(generator, units), units, trials)


def _line_trials() -> dict[str, Trial]:
    quantile = steps.Quantile()
    return {**named(quantile), "second order": Trial(steps.SecondOrder(quantile)), **finite_volumes()}


def edges(seed, generator, units) -> Problem:
    """Unequal cells on a line."""
    widths = np.exp(np.cumsum(generator.normal(0.0, 0.1, int(generator.integers(30, 90)))))
    faces = np.append(0.0, np.cumsum(widths)) / widths.sum() * PERIOD - HALF_WIDTH
    grid = jko.Grid.from_edges((faces + units.offset) * units.length)
    values, shape = _line_values(generator, grid, units)
    mu = grid.density(values).normalized()
    F, parts = _terms(generator, mu, units, box.POTENTIALS, box.KERNELS)
    return _made(seed, f"edges, {shape}", F, parts, mu, _step(generator, units), units, _line_trials())


def shells(seed, generator, units) -> Problem:
    """A density on R^d that depends on |x| alone."""
    units, dimension = Units(units.length, units.energy), int(generator.integers(1, 4))
    count = int(generator.integers(30, 80))
    radii = np.append(0.0, np.geomspace(0.05, HALF_WIDTH, count) if generator.random() < 0.5 else
                      np.linspace(0.0, HALF_WIDTH, count + 1)[1:])  # fmt: skip
    grid = jko.Grid.radial(radii * units.length, dimension)
    values, shape = _line_values(generator, grid, units)
    mu = grid.density(values).normalized()
    F, parts = _terms(generator, mu, units, RADIAL_POTENTIALS, RADIAL_KERNELS)
    kind = f"shells in {dimension}D, {shape}"
    trials = {**_line_trials(), **named(steps.Cvxpy())}
    return _made(seed, kind, F, parts, mu, _step(generator, units), units, trials)


def _line_values(generator, grid, units):
    """Values on a `LineGrid` and a name: smooth, with vacuum, or with a jump."""
    r = np.asarray(grid.points)[:, 0] / units.length - units.offset
    center, width = generator.uniform(-1.0, 1.5), generator.uniform(0.35, 0.9)
    shape = ("gaussian", "parabola", "patch")[generator.integers(3)]
    for at in (center, -center):  # shells begin at 0: what lies below it is taken beyond
        apart = np.abs(r - at)
        if shape == "gaussian":
            values = np.exp(-0.5 * (apart / width) ** 2)
        elif shape == "parabola":
            values = np.maximum((2.0 * width) ** 2 - apart**2, 0.0)
        else:
            values = (apart < 1.3 * width).astype(float)
        if values.any():
            return values, shape
    raise AssertionError("a density is within three of the origin, on one side of it")


def species(seed, generator, units) -> Problem:
    """Two densities that feel each other."""
    dimension = 1 if generator.random() < 0.8 else 2
    grid = _grid(generator, units, dimension, {1: (24, 60), 2: (8, 10)})
    measures, terms, parts = {}, [], []
    for name in ("a", "b"):
        values, _ = box.drawn_density(generator, grid, units)
        measures[name] = jko.Density(grid, values).normalized()
        F, names = _terms(generator, measures[name], units, box.POTENTIALS, (), False)
        terms.append(fn.on(name, F))
        parts.append(f"{name}: {' + '.join(names)}")
    kind, c = generator.integers(3), float(generator.uniform(0.2, 1.0))
    if kind == 0:
        W = (box.wide_gaussian, box.spring)[generator.integers(2)]
        terms.append(fn.Cross(fn.Interaction(units.kernel(W), tolerance=1e-6), "a", "b"))
        terms[-1], parts = c * units.energy * terms[-1], [*parts, f"{c:.2g} cross {W.__name__}"]
    elif kind == 1:
        terms.append(c * units.energy * units.length**dimension * fn.TotalInternal(fn.Power(2.0)))
        parts.append(f"{c:.2g} total square")
    else:
        total = sum(mu.values for mu in measures.values())
        terms.append(fn.TotalCap(float(total.max() * generator.uniform(1.0, 1.5))))
        parts.append("total cap")
    mu, F = jko.Species(**measures), sum(terms[1:], terms[0])
    inner = (steps.PrimalDual(), steps.Quantile()) if dimension == 1 else (steps.PrimalDual(),)
    trials = {f"in turn by {s.scheme_name()}": Trial(steps.SpeciesInTurn(s)) for s in inner}
    trials["in turn by limits.FiniteVolume"] = Trial(steps.SpeciesInTurn(limits.FiniteVolume(), order=2))
    tau = _step(generator, units, high=0.0)
    return _made(seed, "species", F, parts, mu, tau, units, trials)


def wrapped(seed, generator, units) -> Problem:
    """Second order, adaptive steps, and what they wrap, on a problem in a box."""
    posed = box.problem(seed)
    if posed.mu.dimension == 1:
        inner = steps.Quantile()
        trials = {
            **named(inner),
            "second order": Trial(steps.SecondOrder(inner)),
            "BDF2": Trial(steps.VariationalBDF2(inner), 2),
            "adaptive": Trial(steps.Adaptive(inner, tolerance=0.05 / posed.units.time)),
        }
    else:
        inner = (steps.MongeAmpere(), steps.BackAndForth())[generator.integers(2)]
        trials = {**named(inner), "second order": Trial(steps.SecondOrder(inner))}
    trials |= finite_volumes()
    tau = _step(generator, posed.units)
    return _made(seed, "wrapped", posed.F, [posed.label], posed.mu, tau, posed.units, trials)


def in_time(seed, generator, units) -> Problem:
    """F moves: an implicit step is that of F frozen at its end."""
    units = Units(energy=units.energy)
    mu, shape = _small(generator, units)
    V, c = IN_TIME[generator.integers(len(IN_TIME))], float(generator.uniform(0.3, 1.5))
    terms, parts = box.internal_energy(generator, mu.dimension, units)
    F = sum(terms, c * units.energy * fn.Potential(lambda x, t: V(x, t * units.energy)))
    implicit = [steps.PrimalDual(), steps.BackAndForth(), steps.Entropic(), steps.Linearized()]
    implicit += [steps.Quantile()] if mu.dimension == 1 else [steps.MongeAmpere()]
    trials = named(*implicit) | finite_volumes()
    parts = [*parts, f"{c:.2g} {V.__name__}"]
    tau = _step(generator, units)
    return _made(seed, f"in time, {shape}", F, parts, mu, tau, units, trials, decays=False)


def space(seed, generator, units) -> Problem:
    """Three dimensions, some cells along each."""
    grid = _grid(generator, units, 3, {3: (4, 6)})
    values, shape = box.drawn_density(generator, grid, units)
    mu = jko.Density(grid, values).normalized()
    F, parts = _terms(generator, mu, units, box.POTENTIALS, box.KERNELS)
    dynamic, twins = eulerian(generator)
    trials = dynamic | named(steps.Entropic()) | finite_volumes()
    return _made(seed, f"space, {shape}", F, parts, mu, _step(generator, units), units, trials, twins=twins)


def particles(seed, generator, units) -> Problem:
    """Clouds of some tens, by the integrators that need no more than F."""
    dimension, count = int(generator.choice([1, 2, 5])), int(generator.integers(10, 80))
    x = generator.normal(0.0, generator.uniform(0.3, 1.0), (count, dimension)) + generator.uniform(-1.0, 1.0)
    cloud = jko.Particles((x + units.offset) * units.length)
    V = box.POTENTIALS[generator.integers(len(box.POTENTIALS))]
    c = float(generator.uniform(0.3, 2.0))
    F, parts = c * units.energy * fn.Potential(units.function(V)), [f"{c:.2g} {V.__name__}"]
    if generator.random() < 0.4:
        W = box.KERNELS[generator.integers(len(box.KERNELS))]
        F, parts = F + units.energy * fn.Interaction(units.kernel(W)), [*parts, W.__name__]
    implicit = (descent.BackwardEuler(), descent.ForwardEuler(), descent.Trapezoidal())
    noisy = (descent.Langevin(seed=seed), descent.Blob())
    entropic = generator.random() < 0.4
    if entropic:
        F, parts = F + units.energy * fn.Entropy(), [*parts, "entropy"]
    trials = named(*(noisy if entropic else implicit))
    tau = _step(generator, units, high=-0.3)
    return _made(seed, "particles", F, parts, cloud, tau, units, trials, decays=False)


# the share of each kind among problems, and what draws one
KINDS: dict[str, tuple[float, Callable | None]] = {
    "box": (0.34, None),
    "torus": (0.13, torus),
    "room": (0.09, room),
    "doors": (0.04, doors),
    "source": (0.08, source),
    "mobility": (0.05, mobility),
    "metric": (0.03, metric),
    "edges": (0.04, edges),
    "shells": (0.05, shells),
    "species": (0.05, species),
    "wrapped": (0.04, wrapped),
    "in time": (0.02, in_time),
    "space": (0.02, space),
    "particles": (0.02, particles),
}
