"""Several species moved together by steps.PrimalDual: a joint conic program, free boundaries, the scalar
engine, other units."""

import cvxpy as cp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals.species_parts import SpeciesParts
from jko import Density, Grid, Species, steps
from jko.steps.grid.full_fronts import front_shares
from tests.first_step import first_step

LINE = Grid.uniform(-3.0, 3.0, 30)
PLANE = Grid.uniform((-3.0, -2.0), (3.0, 2.0), (9, 7))
RING = Grid.uniform((-3.0, -2.0), (3.0, 2.0), (8, 6), periodic=(True, False))
V = fn.Potential("quadratic", stiffness=1.3)
BOTH = fn.on("a", V) + fn.on("b", 0.5 * V)
SPREAD = fn.on("a", 0.4 * fn.Entropy()) + fn.on("b", 0.7 * fn.Entropy())
ONE = fn.on("a", fn.Entropy())
CAPS = fn.on("a", fn.Cap(0.45)) + fn.on("b", fn.Cap(0.25))
SHARED = fn.TotalInternal(fn.Power(2.0))


class Shape:
    """Matrices of the faces of a box or a torus, axis by axis: what a flow leaves and where it arrives."""

    def __init__(self, grid):
        cells, ends, spacing = np.arange(grid.size).reshape(grid.cells), [], []
        for axis, (h, turns) in enumerate(zip(grid.spacing, grid.periodic, strict=True)):
            after = np.roll(cells, -1, axis)
            keep = [slice(None if turns or a != axis else n - 1) for a, n in enumerate(grid.cells)]
            ends.append([side[tuple(keep)].ravel() for side in (cells, after)])
            spacing.append(np.full(ends[-1][0].size, h))
        self.spacing, one = np.concatenate(spacing), np.eye(grid.size)
        self.low, self.high = (np.concatenate(side) for side in zip(*ends, strict=True))
        self.divergence = (one[self.low] - one[self.high]).T
        self.mean = 0.5 * (one[self.low] + one[self.high])

    def front_shares(self, r, most):
        return front_shares((r[self.low], most[self.low]), (r[self.high], most[self.high]))


def least(F, species, tau, slices):
    """min W₂² of both/2τ + F by one conic program, F of entropies, potentials, a total and a cap."""
    grid, volume = species.grid, species.grid.cell_volume
    shape, parts = Shape(grid), SpeciesParts.of(F, species.names)
    action = slices * volume * shape.spacing**2 / (2.0 * tau)
    total, constraints, ends = 0.0, [], []
    held = sum(mu.values.ravel() for _, mu in species.items())
    together = shape.front_shares(held, np.full(grid.size, parts.cap))
    for name, mu in species.items():
        own, r = parts.own[name], mu.values.ravel()
        caps = [cap.values(grid.points) for cap in own.constraints]
        weight = action
        if slices == 1:
            weight = weight * np.minimum.reduce([together, *(shape.front_shares(r, cap) for cap in caps)])
        for _ in range(slices):
            v, s = (cp.Variable(shape.spacing.size) for _ in range(2))
            after = cp.Variable(grid.size, nonneg=True)
            theta = shape.mean @ (0.5 * (r + after))
            constraints += [after == r - shape.divergence @ v]
            constraints += [cp.SOC(s + theta, cp.vstack([2.0 * v, s - theta]), axis=0)]
            total, r = total + weight @ s, after
        total = total + volume * (
            own.potential_values(grid.points) @ r - own.temperature * cp.sum(cp.entr(r))
        )
        constraints += [r <= cap for cap in caps]
        ends.append(r)
    crowd = sum(ends)
    for c, U in () if parts.total is None else parts.total.terms:
        paid = -cp.sum(cp.entr(crowd)) if U.is_entropy else cp.sum(cp.power(crowd, U.m)) / (U.m - 1.0)
        total = total + c * volume * paid
    if np.isfinite(parts.cap):
        constraints.append(crowd <= parts.cap)
    problem = cp.Problem(cp.Minimize(total), constraints)
    return problem.solve(solver="CLARABEL", tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)


def two(grid, ratio=0.6):
    middles = ((-0.7, 0.3), (0.6, -0.2))
    a, b = (Density.gaussian(grid, mean=m[: grid.dimension], std=0.8) for m in middles)
    return Species(a=a, b=b.with_values(ratio * b.values))


PROBLEMS = {
    "a shared power": (SHARED + BOTH, LINE, 0.1, 1),
    "a shared power in the plane, two slices": (0.4 * SHARED + BOTH, PLANE, 0.1, 2),
    "a shared entropy": (0.5 * fn.TotalInternal(fn.Entropy()) + BOTH, LINE, 0.2, 1),
    "entropies and a shared power": (SPREAD + SHARED + BOTH, LINE, 0.1, 1),
    "one entropy, a shared power of 3": (ONE + fn.TotalInternal(fn.Power(3.0)) + BOTH, LINE, 0.1, 2),
    "a shared cap": (fn.TotalCap(0.6) + BOTH, LINE, 0.1, 1),
    "a shared cap, two slices": (fn.TotalCap(0.6) + BOTH, LINE, 0.1, 2),
    "entropies and a shared cap": (SPREAD + fn.TotalCap(0.3) + BOTH, PLANE, 0.1, 1),
    "all of it on a cylinder": (SPREAD + SHARED + fn.TotalCap(0.3) + BOTH, RING, 0.1, 2),
    "nothing shared": (SPREAD + BOTH, LINE, 0.1, 1),
    "caps of each and a shared power": (CAPS + SHARED + BOTH, LINE, 0.1, 1),
    "caps of each and of both": (CAPS + fn.TotalCap(0.52) + BOTH, LINE, 0.1, 1),
    "entropies and caps of each and of both": (SPREAD + CAPS + fn.TotalCap(0.52) + BOTH, LINE, 0.5, 1),
    "a shared entropy in a long step": (0.5 * fn.TotalInternal(fn.Entropy()) + BOTH, LINE, 10.0, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_agrees_with_a_conic_program_to_the_gap(name):
    F, grid, tau, slices = PROBLEMS[name]
    start = two(grid)
    after, _, info = first_step(steps.PrimalDual(slices=slices, tolerance=1e-4), F, start, tau)
    assert info.status == "converged", info.note
    exact = least(F, start, tau, slices)
    missed = info.transport_cost + F(after) - exact
    assert -1e-7 * abs(exact) <= missed <= info.gap + 1e-7 * abs(exact)
    assert info.mass_error <= 1e-13
    assert info.min_density >= 0.0


def l1(values, other, grid):
    return float(np.abs(values - other).sum() * grid.cell_volume)


def test_one_species_is_the_scalar_step():
    mu = two(PLANE)["a"]
    F = fn.Power(2.0) + fn.Cap(0.28) + V
    alone, _, info = first_step(steps.PrimalDual(), F, mu, 0.1)
    on = fn.on("a", fn.Power(2.0) + V) + fn.TotalCap(0.28)
    together, _, same = first_step(steps.PrimalDual(), on, Species(a=mu), 0.1)
    assert l1(together["a"].values, alone.values, PLANE) < 5e-3  # each within its gap
    assert same.dissipation == pytest.approx(info.dissipation, abs=info.gap + same.gap)


@pytest.mark.slow
def test_shares_stay_and_the_sum_is_a_barenblatt_profile():
    """F = ½∫(ρ_a + ρ_b)²: with ρ_b = 2ρ_a both move with one velocity, and the sum obeys ∂_tρ = ½Δρ²."""
    solution, grid = jko.exact.Barenblatt(exponent=2.0, start_time=0.5), Grid.uniform(-3.0, 3.0, 100)
    profile = solution.on(grid, 0.0)
    start = Species(a=profile.with_values(profile.values / 3.0), b=profile.with_values(profile.values / 1.5))
    run = jko.flow(0.5 * SHARED, start, steps.PrimalDual(), tau=0.05, n_steps=4)
    assert np.all(run.info.status == "converged")
    assert np.all(np.diff(run.energy) < 0.0)
    assert l1(run.final.total_values(), solution.on(grid, 0.1).values, grid) < 3e-3
    assert l1(run.final["b"].values, 2.0 * run.final["a"].values, grid) < 5e-4
    scalar = jko.flow(0.5 * fn.Power(2.0), profile, steps.PrimalDual(), tau=0.05, n_steps=4)
    assert l1(run.final.total_values(), scalar.final.values, grid) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("interface", [0.0, 0.6])
def test_segregated_species_stay_so(interface):
    """ρ_a left of ρ_b: the interface stays at its share of the mass, smeared over some cells."""
    solution, grid = jko.exact.Barenblatt(exponent=2.0, start_time=0.5), Grid.uniform(-3.0, 3.0, 200)
    profile, left = solution.on(grid, 0.0).values, grid.axes[0] < interface
    start = Species(a=Density(grid, profile * left), b=Density(grid, profile * ~left))
    run = jko.flow(0.5 * SHARED, start, steps.PrimalDual(), tau=0.05, n_steps=4)
    after = solution.on(grid, 0.1).values
    assert np.all(run.info.status == "converged")
    assert l1(run.final.total_values(), after, grid) < 2e-3
    place = grid.edges[0][1 + np.searchsorted(np.cumsum(after), run.final["a"].values.sum())]
    far = np.abs(grid.axes[0] - place) > 0.1
    both = np.minimum(run.final["a"].values, run.final["b"].values)
    assert both[far].max() < 2e-2 * after.max()
    assert run.info.mass_error.max() < 1e-13


@pytest.mark.slow
def test_a_shared_cap_is_filled():
    """Two crowds that press towards 0 fill |x| < 1 together, and none gives way to the other."""
    grid = Grid.uniform(-2.0, 2.0, 40)
    start = Species(a=Density.uniform(grid, -1.5, -0.1), b=Density.uniform(grid, 0.1, 1.5))
    pull = fn.Potential("quadratic", stiffness=2.0)
    F = fn.on("a", pull) + fn.on("b", pull) + fn.TotalCap(1.0)
    run = jko.flow(F, start, steps.PrimalDual(), tau=0.2, n_steps=6)
    assert max(mu.total_values().max() for mu in run.measures) <= 1.0 + 1e-9
    assert l1(run.final.total_values(), np.abs(grid.axes[0]) < 1.0, grid) < 0.03
    assert run.final["a"].values[21:].max() < 1e-2
    assert np.all(np.diff(run.energy) <= 1e-12)


@pytest.mark.parametrize("cap", [2.2 + 1e-12, 4.0])
def test_a_shared_cap_in_a_room_is_that_of_one_density(cap):
    """Walls hold no species, and no number of theirs enters the bound."""
    room = Grid.uniform((0.0, 0.0), (1.0, 1.0), 8, inside=lambda x: (x[0] < 0.5) | (x[1] < 0.5))
    held = Density.gaussian(room, (0.25, 0.3), 0.1).values > 0.0
    down = fn.Potential(lambda x: x[0] + x[1])
    both = fn.on("a", down) + fn.on("b", down) + fn.TotalCap(cap)
    start = Species(a=Density(room, 1.2 * held), b=Density(room, 1.0 * held))
    after, _, info = first_step(steps.PrimalDual(), both, start, 0.05)
    F = fn.Cap(cap) + down
    alone, _, other = first_step(steps.PrimalDual(), F, Density(room, 2.2 * held), 0.05)
    off = both(after) + info.transport_cost - F(alone) - other.transport_cost
    assert abs(off) <= max(info.gap, other.gap)
    assert after.total_values()[np.all(room.centers > 0.5, axis=-1)].max() == 0.0


def test_species_above_their_cap_come_below_it():
    """In one potential for both, their sum takes the step of a single density."""
    a, b = Density.gaussian(LINE, -0.8, 0.5), Density.gaussian(LINE, 0.9, 0.6)
    values, gaps = [], []
    together = fn.TotalCap(0.6) + fn.on("a", V) + fn.on("b", V), Species(a=a, b=b)
    for F, mu in (together, (fn.Cap(0.6) + V, Density(LINE, a.values + b.values))):
        after, _, info = first_step(steps.PrimalDual(), F, mu, 0.05)
        assert info.status == "converged", info.note
        values.append(F(after) + info.transport_cost)
        gaps.append(info.gap)
    assert abs(values[0] - values[1]) <= max(gaps)


def test_a_shared_exclusion_closes_a_small_gap():
    # alternating directions alone need 13 000 iterations: species that share an energy may change places
    taker = steps.PrimalDual(tolerance=1e-5, max_iterations=300)
    F, start = fn.TotalInternal(fn.FermiDirac(1.2)) + BOTH, two(Grid.uniform(-3.0, 3.0, 100))
    _, _, info = first_step(taker, F, start, 0.1)
    assert info.status == "converged", info.note
    assert info.relative_gap <= 1e-5


def test_two_gaussians_bound():
    """m_a′ = −κ(m_a − m_b): the step has m_a′ − m_b′ = (m_a − m_b)/(1 + 2κτ), and the sum of means stays."""
    grid = Grid.uniform(-5.0, 5.0, 80)
    start = Species(a=Density.gaussian(grid, -1.0, 0.7), b=Density.gaussian(grid, 1.5, 0.9))
    F = SPREAD + fn.Cross("quadratic", "a", "b", strength=0.8)
    after, _, info = first_step(steps.PrimalDual(tolerance=1e-5), F, start, 0.1)
    means = np.array([after[name].mean()[0] for name in ("a", "b")])
    assert info.status == "converged"
    assert means.sum() == pytest.approx(0.5, abs=2e-3)
    assert means[1] - means[0] == pytest.approx(2.5 / 1.16, abs=2e-3)


def test_it_is_the_same_in_other_units():
    grid, wide = Grid.uniform(-3.0, 3.0, 30), Grid.uniform(-3e3, 3e3, 30)
    mass, slow = 50.0, 7.0
    start, found = two(grid), []
    large = Species(**{k: Density(wide, mass * mu.values / 1e3) for k, mu in start.items()})
    for unit, mu, tau in ((1.0, start, 0.1), (1e3**2 / slow, large, 0.1 * slow)):
        size = 1.0 if unit == 1.0 else 1e3 / mass
        F = (unit * size) * SHARED + unit * fn.on("a", fn.Entropy())
        after, _, info = first_step(steps.PrimalDual(), F, mu, tau)
        found.append((after["a"].values * size, info.iterations))
    assert found[0][1] == found[1][1]
    assert np.allclose(found[0][0], found[1][0], rtol=1e-7, atol=1e-12)


def test_auto_moves_species_of_one_energy_together():
    chosen = steps.auto(SHARED + BOTH, two(LINE))
    assert isinstance(chosen.scheme, steps.PrimalDual)
    with pytest.raises(jko.errors.UnsupportedFunctional, match="SpeciesInTurn"):
        steps.auto(fn.each(a=V, b=V), two(LINE))


@pytest.mark.parametrize(
    ("F", "mu", "settings", "error", "sentence"),
    [
        (fn.each(a=V, b=V), two(LINE), {}, jko.errors.UnsupportedFunctional, "by each"),
        (
            fn.TotalInternal(fn.InternalEnergy(lambda s: s**2 + s**3)),
            two(LINE),
            {},
            ValueError,
            "together by",
        ),
        (V, two(LINE), {}, TypeError, "does not say of which species"),
        (fn.on("c", V), two(LINE), {}, ValueError, "speaks of 'c'"),
        (
            BOTH,
            two(LINE).having(b=Density.gaussian(Grid.uniform(-2.0, 2.0, 9), 0.0, 0.8)),
            {},
            ValueError,
            "one grid",
        ),
        (
            BOTH,
            two(LINE),
            {"length": 1.0},
            ValueError,
            "length: steps.PrimalDual moves species together in W2",
        ),
        (fn.TotalCap(0.2) + BOTH, two(LINE), {}, ValueError, "cap: the box holds a mass of 1.2 at most"),
    ],
)
def test_refusals(F, mu, settings, error, sentence):
    with pytest.raises(error, match=sentence):
        steps.PrimalDual(**settings).prepare(F, mu)


@pytest.mark.slow
def test_long_steps_have_bounds():
    # the levels that fill a well overflow an entropy, and their brackets have to keep their signs
    a, b = Density.gaussian(LINE, -0.8, 0.5), Density.gaussian(LINE, 0.9, 0.6)
    values, gaps, U, take = [], [], fn.Entropy(), steps.PrimalDual(tolerance=1e-2)
    both = fn.TotalInternal(U) + fn.on("a", V) + fn.on("b", V), Species(a=a, b=b)
    for F, mu in (both, (U + V, Density(LINE, a.values + b.values))):
        after, _, info = first_step(take, F, mu, 1.0)
        values.append(F(after) + info.transport_cost)
        gaps.append(info.gap)
    assert abs(values[0] - values[1]) <= sum(gaps)
    F = SHARED + fn.on("a", V) + fn.on("b", 0.3 * fn.Entropy())
    assert first_step(take, F, Species(a=a, b=b), 1e4)[2].status == "converged"


def test_no_energy_is_infinite_at_the_start():
    # beyond its capacity U is infinite, where a cap would be come below in one step
    U, ab, beyond = fn.FermiDirac(0.3), two(LINE), "expected a density of at most 0.3, where FermiDirac"
    for F in (fn.TotalInternal(U) + BOTH, fn.on("a", U) + SHARED):
        with pytest.raises(ValueError, match=beyond):
            steps.PrimalDual().prepare(F, ab)
    engines = steps.PrimalDual(), steps.Cvxpy(), steps.BackAndForth(), steps.MongeAmpere(), steps.Quantile()
    for engine in (*engines, steps.Entropic(), steps.Linearized(), jko.limits.FiniteVolume()):
        with pytest.raises(ValueError, match=beyond):
            engine.prepare(U + V, ab["a"])


@pytest.mark.parametrize("F", [SHARED, fn.TotalCap(2.0), ONE, fn.Cross("quadratic", "a", "b")])
def test_functionals_of_species_want_species(F):
    mu, sentence = two(LINE)["a"], "speaks of species, got (Density|Particles): make jko"
    for of in (mu, mu.sample(9, seed=0)):
        with pytest.raises(TypeError, match=sentence):
            F(of)
    for engine in (steps.PrimalDual(), jko.limits.FiniteVolume(), jko.descent.Langevin(seed=0)):
        of = mu if engine.measures[0] is Density else mu.sample(9, seed=0)
        with pytest.raises(TypeError, match=sentence):
            engine.prepare(F, of)
