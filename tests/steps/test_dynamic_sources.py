"""Dynamic steps with sources, Hellinger–Kantorovich at once: each other, the distance, Gaussians, a front."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import functionals as fn
import jko
from jko.loops.elliptic.dynamic_step import source_prox
from jko.steps import Cvxpy, FisherRao, HellingerKantorovich, PrimalDual
from jko.steps.grid.source import largest_source, lowered, source_cost, source_rate
from tests.first_step import first_step

LINE = jko.Grid.uniform(-3.0, 3.0, 24)
PLANE = jko.Grid.uniform((-3.0, -2.0), (3.0, 2.0), (8, 6))
RING = jko.Grid.uniform(-3.0, 3.0, 25, periodic=True)
ROOM = jko.Grid.uniform((-2.0, -2.0), (2.0, 2.0), (7, 6), inside=lambda x: jnp.abs(x[0] - 1.3) + x[1] > -0.9)
REPULSION = fn.Interaction(lambda z: jnp.exp(-jnp.sum(z**2)), linearly_convex=True)


def bowl(least=0.0):
    return fn.Potential(lambda x: least + 0.5 * jnp.sum(x**2))


def cvxpy(**settings):
    return Cvxpy(formulation="eulerian", **settings)


PROBLEMS = {  # F, grid, mass, length, τ, slices
    "entropy": (fn.Entropy() + bowl(), LINE, 1.0, 0.6, 0.05, 1),
    "entropy, all grows, three slices": (0.3 * fn.Entropy() + bowl(-2.0), LINE, 2.0, 2.0, 0.1, 3),
    "entropy and power, a ring": (0.5 * fn.Entropy() + fn.Power(2.0) + bowl(-1.0), RING, 1.4, 1.0, 0.2, 2),
    "vacuum": (0.5 * fn.Power(3.0) + bowl(-1.0), LINE, 0.6, 1.0, 0.05, 1),
    "fast diffusion": (fn.Power(0.8) + bowl(0.5), LINE, 1.0, 2.0, 0.05, 1),
    "a potential alone": (bowl(0.5), LINE, 1.3, 0.8, 0.05, 2),
    "a cap that is broken": (fn.Cap(0.3) + bowl(-1.0), LINE, 1.0, 1.0, 0.05, 1),
    "a cap without room": (fn.Cap(0.1) + bowl(-1.0), LINE, 1.0, 1.0, 0.05, 2),
    "any U": (fn.InternalEnergy(lambda s: s**2 + s**3) + bowl(-1.0), LINE, 1.0, 1.0, 0.1, 1),
    "exclusion": (fn.FermiDirac(2.0) + bowl(-1.0), LINE, 1.0, 1.0, 0.1, 1),
    "interaction": (REPULSION + fn.Power(2.0) + bowl(-1.0), LINE, 1.0, 1.5, 0.1, 1),
    "plane": (0.5 * fn.Entropy() + bowl(-1.0), PLANE, 1.5, 1.0, 0.1, 2),
    "sixteen slices": (
        0.3 * fn.Entropy() + fn.Potential(lambda x: 2.0 * x[0] - 1.0),
        LINE,
        1.0,
        0.5,
        0.05,
        16,
    ),
    "a room under a cap": (fn.Cap(0.3) + 0.3 * fn.Power(2.0) + bowl(-1.0), ROOM, 0.7, 1.0, 0.1, 1),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_both_find_the_same_step_to_both_gaps(name):
    F, grid, mass, length, tau, slices = PROBLEMS[name]
    mu = jko.Density.gaussian(grid, mean=(0.4, -0.2)[: grid.dimension], std=0.7)
    mu = mu.with_values(mass * mu.values)
    after, _, ours = first_step(PrimalDual(length=length, slices=slices, tolerance=1e-4), F, mu, tau)
    other, _, theirs = first_step(cvxpy(length=length, slices=slices), F, mu, tau)
    assert ours.status == theirs.status == "converged", ours.note + theirs.note
    # dissipation is F(ρ_k) less the step's value; where the cap is broken F(ρ_k) = ∞
    value, best = (F(m) + r.transport_cost for m, r in ((after, ours), (other, theirs)))
    assert -theirs.gap - 1e-6 * abs(best) <= value - best <= ours.gap + 1e-6 * abs(best)
    assert ours.gap <= 2e-4 * ours.transport_cost
    assert theirs.gap <= 1e-5 * theirs.transport_cost
    for measure, record in ((after, ours), (other, theirs)):
        made, left = record.details["made"], record.details["left"]
        assert measure.mass == pytest.approx(mass + made - left, rel=1e-12)
        assert record.mass_error <= 1e-13
    assert abs(after.mass - mass) > 1e-3 * mass


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [PrimalDual, pytest.param(cvxpy, marks=pytest.mark.long)])
def test_its_cost_is_the_distance_to_second_order_in_the_slices(scheme):
    """HK² between ρ_k and ρ′ as a static problem over plans, with masses at the centres of cells."""
    grid, length, tau = jko.Grid.uniform(-1.0, 1.0, 60), 0.5, 0.1
    mu = jko.Density.gaussian(grid, mean=0.1, std=0.5)
    F = 0.3 * fn.Entropy() + fn.Potential(lambda x: 2.0 * x[0] - 1.0)
    errors = []
    for slices in (2, 4, 8):
        after, _, info = first_step(scheme(length=length, slices=slices, tolerance=1e-5), F, mu, tau)
        exact = jko.transport.hellinger_kantorovich(mu, after, length=length).value
        errors.append(abs(2.0 * tau * info.transport_cost / exact - 1.0))
    # by differences, since the masses at the centres err by 1e-3 on their own
    first, second = -np.diff(errors)
    assert np.log2(first / second) == pytest.approx(2.0, abs=0.15)
    assert errors[0] < 0.02
    assert errors[2] < 0.003


def gaussian_of(time, length, dimension):
    """(mass, mean, variance) of the flow of ∫ρ log ρ + ½|x|²ρ from mass 1, mean (1, 0 …), variance .5."""

    def rate(_, z):
        log_mass, mean, s = z
        level = log_mass - 0.5 * dimension * (np.log(2.0 * np.pi * s) + 1.0) + 1.0
        reaction = level + 0.5 * (dimension * s + mean**2)
        return [-reaction / length**2, -(1.0 + s / length**2) * mean, (1.0 - s) * (2.0 + s / length**2)]

    log_mass, mean, s = solve_ivp(rate, (0.0, time), [0.0, 1.0, 0.5], rtol=1e-10, atol=1e-12).y[:, -1]
    return np.exp(log_mass), mean, s


def gaussian_error(scheme, steps, grid, time=0.2, length=0.8):
    d = grid.dimension
    start = jko.Density.gaussian(grid, mean=np.eye(d)[0], std=np.sqrt(0.5))
    run = jko.flow(fn.Entropy() + bowl(), start, scheme(length=length), tau=time / steps, n_steps=steps)
    mass, mean, s = gaussian_of(time, length, d)
    exact = mass * jko.Density.gaussian(grid, mean=mean * np.eye(d)[0], std=np.sqrt(s)).values
    return np.abs(run.final.values - exact).sum() * grid.cell_volume / mass


@pytest.mark.long
def test_gaussians_of_free_mass_to_first_order():
    """mathematics.md 11, with the mass that follows."""
    line = jko.Grid.uniform(-4.0, 4.0, 100)
    tight = functools.partial(PrimalDual, tolerance=1e-4)
    errors = [gaussian_error(tight, steps, line) for steps in (4, 8, 16)]
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(1.0, abs=0.15)
    assert errors[-1] < 0.01
    assert gaussian_error(cvxpy, 8, line) == pytest.approx(errors[1], rel=0.05)
    plane = jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), 32)
    assert gaussian_error(PrimalDual, 8, plane) < 0.03


@pytest.mark.long
def test_the_splitting_agrees_to_first_order():
    grid, length = jko.Grid.uniform(-4.0, 4.0, 100), 0.8
    mu = jko.Density.mixture(grid, [-1.0, 1.2], [0.4, 0.6])
    F = 0.7 * fn.Entropy() + bowl(-0.5)
    apart = []
    for steps in (4, 8, 16):
        split = HellingerKantorovich(PrimalDual(tolerance=1e-4), length=length)
        schemes = PrimalDual(length=length, tolerance=1e-4), split
        ends = [jko.flow(F, mu, scheme, tau=0.2 / steps, n_steps=steps).final for scheme in schemes]
        apart.append(np.abs(ends[0].values - ends[1].values).sum() * grid.cell_volume)
    assert np.log2(np.divide(apart[:-1], apart[1:])) == pytest.approx(1.0, abs=0.2)


def test_a_full_interval_grows_as_its_pressure_lets_it():
    """p = gδ²(1 − cosh(x/δ)/cosh(R/δ)) under cap 1 and V = −gδ², R′ = gδ tanh(R/δ)."""
    length, rate, time = 0.6, 1.0, 0.5
    F = fn.Cap(1.0) + fn.Potential(lambda x: -rate * length**2 + 0.0 * x[0])
    exact = 2.0 * length * np.arcsinh(np.exp(rate * time) * np.sinh(0.5 / length))
    errors = []
    for cells, steps in ((36, 5), (72, 10), (144, 20)):
        mu = jko.Density.uniform(jko.Grid.uniform(-1.5, 1.5, cells), lower=-0.5, upper=0.5)
        run = jko.flow(F, mu, PrimalDual(length=length), tau=time / steps, n_steps=steps)
        assert run.final.values.max() <= 1.0 + 1e-12
        full = np.diff(np.clip(mu.grid.edges[0], -0.5 * exact, 0.5 * exact))
        errors.append(np.abs(run.final.values * mu.grid.spacing[0] - full).sum())
    assert errors[2] < 2.5e-3 * exact  # τ's own
    # over two halvings of h and τ, since where in its cell the front stands matters
    assert 0.5 * np.log2(errors[0] / errors[2]) == pytest.approx(1.0, abs=0.25)
    # and in short steps only h is left, next to nothing of which is the front's inertia
    mu = jko.Density.uniform(jko.Grid.uniform(-1.5, 1.5, 72), lower=-0.5, upper=0.5)
    run = jko.flow(F, mu, PrimalDual(length=length), tau=time / 80, n_steps=80)
    assert run.final.mass == pytest.approx(exact, rel=1e-3)


def test_the_cost_of_a_source_is_that_of_fisher_and_rao_with_its_conjugate_and_prox():
    rng = np.random.default_rng(7)
    before, after = rng.exponential(size=(2, 200)) ** 3
    w, eta = after - before, 0.5 * (before + after)
    assert source_cost(w, eta) == pytest.approx(4.0 * (np.sqrt(after) - np.sqrt(before)) ** 2, rel=1e-6)
    ends = source_cost(np.array([1.0, -1.0, 1.0, 1e-9, 0.0]), np.array([0.5, 0.5, 0.4, 1.0, 0.0]))
    assert ends == pytest.approx([4.0, 4.0, np.inf, 1e-18, 0.0], rel=1e-12)
    p, action = 10.0 * rng.standard_normal(200), 1.7
    best = largest_source(eta, p, action)
    gained = p * best - action * source_cost(best, eta)
    assert gained == pytest.approx(eta * source_rate(p, action), rel=1e-9, abs=1e-9)
    assert np.all(p * w - action * source_cost(w, eta) <= eta * source_rate(p, action) + 1e-9)

    def met(p):
        return p + 0.5 * source_rate(p, action)

    assert met(lowered(p, 0.3 * (met(p) + 4.0 * action), action)) == pytest.approx(
        met(p) - 0.3 * (met(p) + 4.0 * action), abs=1e-9
    )
    assert np.all(lowered(p, met(p) + 4.1 * action, action) == -np.inf)
    for _ in range(200):
        w0, t0 = 3.0 * rng.standard_normal(2)
        action, s, g = np.exp(rng.standard_normal(3))
        w, t = source_prox(w0, t0, action, s, g, *np.abs(rng.standard_normal(2)))
        # of a homogeneous cost: what is left lies in its polar set, and touches it at the prox
        p, u = s * (w0 - w), g * (t0 - t)
        assert u + source_rate(p, action) <= 1e-7 * (1.0 + abs(u))
        assert p * w + u * t == pytest.approx(action * source_cost(np.array(w), np.array(t)), abs=1e-7)


def test_mass_that_stays_is_the_limit_of_long_lengths():
    mu, F = jko.Density.gaussian(LINE, 0.4, 0.7), fn.Entropy() + bowl()
    for scheme, accuracy in ((PrimalDual, 1e-6), (cvxpy, 1e-7)):
        plain = first_step(scheme(tolerance=accuracy), F, mu, 0.1)[0].values
        off = []
        for length in (3.0, 6.0, 12.0):
            values = first_step(scheme(length=length, tolerance=accuracy), F, mu, 0.1)[0].values
            off.append(np.abs(values - plain).sum())
        assert np.log2(np.divide(off[:-1], off[1:])) == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("units", [(1.0, 1.0), (3e3, 7e-5)])
@pytest.mark.parametrize("scheme", [PrimalDual, cvxpy])
def test_a_reaction_alone_is_fisher_and_rao_in_any_number_of_slices(scheme, units):
    """mass/(1 + Vτ/2δ²)² of a constant V, from near death to fiftyfold growth; and of an entropy."""
    length, energy = units

    def flat(price):
        return fn.Potential(lambda x: energy * price + 0.0 * x[0])

    grid = jko.Grid.uniform(0.0, length, 8, periodic=True)
    mu, tau = jko.Density(grid, np.full(8, 1.0 / length)), length**2 / energy
    for price in (4.0, 1.0, -0.9, -1.7):
        for slices in (1, 2):
            step = scheme(length=length, slices=slices, tolerance=1e-6)
            after, _, info = first_step(step, flat(price), mu, tau)
            assert info.status == "converged"
            assert after.mass == pytest.approx((1.0 + 0.5 * price) ** -2, rel=5e-3)
            exact = 4.0 * length**2 * (1.0 - np.sqrt(after.mass)) ** 2 / (2.0 * tau)
            assert info.transport_cost == pytest.approx(exact, rel=1e-6)
    F = energy * fn.Entropy() + flat(0.6 + np.log(length))
    exact = first_step(FisherRao(length=length), F, mu, 0.4 * tau)[0].values
    for slices in (1, 3):
        values = first_step(scheme(length=length, slices=slices, tolerance=1e-6), F, mu, 0.4 * tau)[0].values
        assert values == pytest.approx(exact, rel=2e-3)


@pytest.mark.parametrize("units", [(1.0, 1.0), (2e3, 3e-5)])
@pytest.mark.parametrize("scheme", [PrimalDual, cvxpy])
def test_a_step_whose_slices_are_too_few_for_what_moves_and_grows_says_so(scheme, units):
    """Entropy in a tilted field against sixteen slices: one is noted and 2 % off or more, two are not."""
    unit, energy = units
    grid = jko.Grid.uniform(-3.0 * unit, 3.0 * unit, 24)
    mu, tau = jko.Density.gaussian(grid, 0.0, 0.6 * unit), 0.1 * unit**2 / energy
    field = fn.Potential(lambda x: 1.5 * x[0] / unit + 1.0 + 0.3 * np.log(unit))
    F = energy * (0.3 * fn.Entropy() + field)

    def step(slices):
        after, _, info = first_step(scheme(length=0.6 * unit, slices=slices, tolerance=1e-4), F, mu, tau)
        assert info.details["moved"] == pytest.approx(0.07, abs=0.01)
        return after.values, info

    finest, one, two = step(16)[0], step(1), step(2)
    off = [np.abs(values - finest).sum() / finest.sum() for values, _ in (one, two)]
    assert off[0] > 0.02
    assert off[1] < 0.015
    assert 1.0 < one[1].details["growth"] < 2.0
    assert "take slices=2 or a smaller tau" in one[1].note
    assert "slices" not in two[1].note


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scheme", [PrimalDual, cvxpy])
def test_growth_from_next_to_nothing_is_found_in_any_number_of_slices(scheme):
    """∫ρ log ρ from 3e-4, where the mass grows a hundred times, is that of Fisher and Rao."""
    mu, F = jko.Density(jko.Grid.uniform(0.0, 10.0, 20), np.full(20, 3e-4)), fn.Entropy()
    exact, _, best = first_step(FisherRao(length=1.0), F, mu, 1.0)
    least = F(exact) + best.transport_cost
    for slices in (1, 2, 3):
        after, _, info = first_step(scheme(length=1.0, slices=slices), F, mu, 1.0)
        assert info.status == "converged"
        assert -1e-6 <= F(after) + info.transport_cost - least <= info.gap + 1e-6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scheme", [PrimalDual, cvxpy])
def test_growth_without_a_bound_is_refused_with_its_reason(scheme):
    mu = jko.Density(jko.Grid.uniform(-1.0, 1.0, 10), np.full(10, 0.5))

    def step(least, tau=0.1, slices=1, more=None):
        F = fn.Potential(lambda x: least + x[0] ** 2)
        F = F if more is None else F + more
        return first_step(scheme(length=0.5, slices=slices), F, mu, tau)

    assert step(-3.0)[2].status == "converged"
    for slices in (1, 2):
        info = step(-6.0, slices=slices)[2]
        assert info.status == "not converged"
        assert info.iterations < 50
        assert "a unit of mass lowers F by 5.99, and 2 length^2/tau = 5 pays for any: take tau" in info.note
        assert "max_iterations" not in info.note
        assert "solver_options" not in info.note
        assert step(-6.0, tau=0.6 * 0.5 / 5.99, slices=slices)[2].status == "converged"
    assert step(-6.0, more=fn.Cap(2.0))[2].status == "converged"
    assert step(-6.0, more=fn.Power(2.0))[2].status == "converged"


@pytest.mark.parametrize("scheme", [PrimalDual, cvxpy])
def test_other_units_give_the_same_step(scheme):
    def step(lengths=1.0, energies=1.0):
        grid = jko.Grid.uniform(-3.0 * lengths, 3.0 * lengths, 24)
        mu = jko.Density.gaussian(grid, 0.4 * lengths, 0.7 * lengths)
        # log ρ counts masses a length: another unit of it adds a constant to V
        V = fn.Potential(lambda x: energies * (0.5 * (x[0] / lengths) ** 2 - 0.5 + jnp.log(lengths)))
        F = energies * fn.Entropy() + V
        after, _, info = first_step(scheme(length=0.8 * lengths), F, mu, 0.1 * lengths**2 / energies)
        return after.values * lengths, info.transport_cost / energies, after.mass

    plain, other = step(), step(3e3, 7e-5)
    assert other[0] == pytest.approx(plain[0], rel=1e-3, abs=1e-5)
    assert other[1] == pytest.approx(plain[1], rel=1e-3)
    assert other[2] == pytest.approx(plain[2], rel=1e-5)


def test_what_cannot_be_is_refused():
    mu = jko.Density.gaussian(LINE, 0.4, 0.7)
    for scheme in (PrimalDual, Cvxpy):
        with pytest.raises(ValueError, match="length"):
            scheme(length=0.0)
    with pytest.raises(ValueError, match="length: the Lagrangian form moves cells of fixed mass"):
        Cvxpy(formulation="lagrangian", length=1.0).prepare(fn.Entropy(), mu)
    with pytest.raises(jko.errors.UnsupportedFunctional, match=r"Cvxpy\(length=\) does not take Dirichlet"):
        Cvxpy(length=1.0).prepare(fn.Entropy() + fn.Dirichlet(), mu)
    with pytest.raises(TypeError, match="makes and loses mass already"):
        HellingerKantorovich(PrimalDual(length=1.0), length=1.0)


def test_a_resumed_run_has_the_same_bits():
    mu, F, scheme = jko.Density.gaussian(LINE, 0.4, 0.7), fn.Entropy() + bowl(), PrimalDual(length=0.8)
    problem = scheme.prepare(F, mu)
    half, state, _ = scheme.step(problem, mu, 0.0, 0.05, problem.start)
    whole, _, _ = scheme.step(problem, half, 0.0, 0.05, state)
    again, _, _ = scheme.step(scheme.prepare(F, mu), half, 0.0, 0.05, jko.State(state))
    np.testing.assert_array_equal(again.values, whole.values)
