"""The certificate of steps.Cvxpy: never below the true suboptimality, closed where the solver is."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.steps import Cvxpy
from jko.steps.cvxpy.cell_functional import CellFunctional
from jko.steps.cvxpy.faces import FaceMatrices
from jko.steps.primal_dual.certificate import admissible_path, lower_bound
from jko.steps.primal_dual.discretisation import CellEnergies, DynamicProblem
from tests.first_step import first_step

SLOPPY = {"tol_gap_abs": 1e-4, "tol_gap_rel": 1e-4, "tol_feas": 1e-4}
LINE = [jko.Grid.uniform(-3.0, 3.0, 24), jko.Grid.uniform(-3.0, 3.0, 37)]
PLANE = [jko.Grid.uniform((-3.0, -2.0), (3.0, 2.0), (8, 6))]
POTENTIALS = [
    fn.Potential("quadratic"),
    fn.Potential(lambda x: 0.2 * jnp.cos(2.0 * x[0]) + 0.3 * jnp.sum((x - 0.4) ** 2)),
    fn.Potential(lambda x: jnp.abs(x[0] - 0.2) + 0.1 * jnp.sum(x**2)),
]
REPULSION = fn.Interaction(lambda z: jnp.exp(-jnp.sum(z**2)))
GENERAL = fn.InternalEnergy(lambda s: s**2 + s**3)


def random_problem(rng):
    """A functional with a convex step, a density (smooth, two bumps, or with a vacuum), a τ and a scheme."""
    grid = rng.choice(LINE if rng.random() < 0.7 else PLANE)
    if grid.dimension == 1 and rng.random() < 0.4:
        mu = jko.Density.mixture(grid, [-1.5, 1.0], rng.uniform(0.3, 0.7, 2))
    elif rng.random() < 0.4:
        mu = jko.Density.uniform(grid, (-1.2,) * grid.dimension, (0.7,) * grid.dimension)
    else:
        mu = jko.Density.gaussian(grid, mean=rng.uniform(-1, 1, grid.dimension), std=rng.uniform(0.4, 1.2))
    terms = [
        (0.6, rng.uniform(0.05, 2.0) * fn.Entropy()),
        (0.4, rng.uniform(0.1, 2.0) * fn.Power(float(rng.choice([0.6, 0.8, 1.5, 2.0, 3.0, 4.0])))),
        (0.7, rng.uniform(0.1, 2.0) * POTENTIALS[rng.integers(3)]),
        (0.2, fn.Cap(float(mu.values.max() * rng.uniform(1.0, 1.5)))),
        (0.2, REPULSION),
        (0.1, GENERAL),
    ]
    chosen = [term for chance, term in terms if rng.random() < chance] or [fn.Power(2.0)]
    settings = {"formulation": None if rng.random() < 0.6 else "eulerian", "slices": int(rng.integers(1, 4))}
    if settings["formulation"] is None:
        del settings["slices"]
    return sum(chosen[1:], chosen[0]), mu, float(10.0 ** rng.uniform(-2.5, 0.0)), settings


def step(F, mu, tau, **settings):
    scheme = Cvxpy(**settings)
    return first_step(scheme, F, mu, tau)[2]


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_eighty_random_problems(block):
    for seed in range(8 * block, 8 * block + 8):
        F, mu, tau, settings = random_problem(np.random.default_rng(seed))
        close = step(F, mu, tau, **settings)
        rough = step(F, mu, tau, **settings, solver_options=SLOPPY)
        # W₂²/2τ + F is F(ρ) − dissipation, so this is by how much the rough step misses what was reached
        missed = close.dissipation - rough.dissipation
        context = f"seed {seed}: {F!r}, tau={tau:.3g}, {settings}"
        assert close.gap >= 0.0, context
        assert rough.gap >= max(missed, 0.0), context
        assert close.gap >= -missed, context
        assert close.status == "converged", f"{context}: {close.note}"
        if close.details["solver_status"] == "optimal":
            assert close.relative_gap <= 1e-6 or close.gap <= 1e-8, context


def test_any_potential_bounds_any_admissible_path():
    rng = np.random.default_rng(5)
    grid, tau = jko.Grid.uniform((-2.0, -1.0), (2.0, 1.0), (7, 5)), 0.3
    for F in (fn.Entropy() + POTENTIALS[0], fn.Power(2.0) + REPULSION, fn.Cap(0.9) + POTENTIALS[1]):
        mu = jko.Density.gaussian(grid, mean=(0.3, 0.0), std=0.6)
        problem = DynamicProblem(F, mu, None, slices=3)
        cells, faces, start = CellFunctional(problem), FaceMatrices.of(problem), mu.values.reshape(7, 5, 1)
        actions = problem.actions(tau, start)
        for _ in range(20):
            flows = [faces.flows(0.05 * rng.standard_normal(faces.spacing.size)) for _ in range(3)]
            potentials = [rng.uniform(0.0, 0.5) * rng.standard_normal((7, 5, 1)) for _ in range(3)]
            path = admissible_path(
                problem, start, flows, potentials, actions, lambda r, F=cells: F.energy(F.of(r))
            )
            field, constant = cells.tangent(cells.of(path.end))
            bound, _ = lower_bound(problem, start, path, potentials, actions, field.reshape(7, 5, 1))
            assert bound + constant <= path.value < np.inf


@pytest.mark.parametrize("place", ["torus", "room"])
def test_matrices_of_faces_do_what_exchanges_do(place):
    rng = np.random.default_rng(2)
    inside = (lambda x: jnp.abs(x[0]) > 0.4) if place == "room" else None
    turns = (place == "torus", False)
    grid = jko.Grid.uniform((-2.0, -1.0), (2.0, 1.0), (7, 5), periodic=turns, inside=inside)
    mu = jko.Density(grid, np.where(grid.inside, rng.uniform(1.0, 2.0, grid.cells), 0.0))
    problem = DynamicProblem(fn.Entropy(), mu, None, slices=2, length=0.7)
    faces, held = FaceMatrices.of(problem), grid.inside.ravel()
    r, v = mu.values.reshape(problem.shape), rng.standard_normal(faces.spacing.size)
    moved = problem.advance(r, faces.flows(v)).ravel()
    np.testing.assert_allclose(moved[held], r.ravel()[held] - faces.divergence @ v, rtol=1e-13)
    np.testing.assert_array_equal(moved[~held], 0.0)
    means = [exchange.mean(r).ravel()[~exchange.closed.ravel()] for exchange in problem.exchanges]
    np.testing.assert_allclose(faces.mean @ r.ravel()[held], np.concatenate(means), rtol=1e-13)
    actions = problem.actions(0.3, r)
    np.testing.assert_allclose(faces.weights(actions), grid.cell_volume * faces.spacing**2 / 0.3)


def test_the_least_cell_energy_is_attained_in_closed_form():
    # ∫ρ log ρ + fρ of unit mass is least at the Gibbs density, with value −log ∫e^{−f}
    grid = jko.Grid.uniform(-3.0, 3.0, 50)
    field, volume = 0.5 * grid.points[:, 0] ** 2, grid.cell_volume
    most = np.full(50, np.inf)

    def least(F):
        return volume * CellEnergies(F.parts.internal_energy).least(field, most, 1.0 / volume)[0]

    gibbs = -np.log(np.sum(np.exp(-field)) * volume)
    np.testing.assert_allclose(least(fn.Entropy()), gibbs, rtol=1e-12)
    assert least(fn.Entropy() + fn.Power(2)) > gibbs


def test_a_wrong_optimal_is_caught_and_raises():
    grid = jko.Grid.uniform(-4.0, 4.0, 60)
    mu = jko.Density.gaussian(grid, mean=1.0, std=0.5)
    F = fn.Entropy() + fn.Potential("quadratic")
    loose = {"tol_gap_abs": 1e-1, "tol_gap_rel": 1e-1, "tol_feas": 1e-2}
    for scheme in (Cvxpy(solver_options=loose), Cvxpy(formulation="eulerian", solver_options=loose)):
        with pytest.raises(jko.errors.StepFailed, match="CLARABEL said optimal, but the gap is"):
            jko.flow(F, mu, scheme, tau=0.1, n_steps=2)
        kept = jko.flow(F, mu, scheme, tau=0.1, n_steps=2, throw=False)
        assert kept.info.status[-1] == "inaccurate"


def test_a_solver_that_is_stopped_does_not_pass_for_converged():
    grid = jko.Grid.uniform(-4.0, 4.0, 60)
    mu = jko.Density.gaussian(grid, mean=1.0, std=0.5)
    for scheme in (
        Cvxpy(solver_options={"max_iter": 2}),
        Cvxpy(formulation="eulerian", solver_options={"max_iter": 2}),
    ):
        with pytest.raises(jko.errors.StepFailed):
            jko.flow(fn.Entropy(), mu, scheme, tau=0.1, n_steps=1)


@pytest.mark.parametrize("formulation", ["eulerian", "lagrangian"])
def test_no_unit_of_energy_and_no_constant_changes_a_step(formulation):
    mu = jko.Density.mixture(LINE[1], [-1.5, 1.0], [0.4, 0.6])

    def taken(energy, constant=0.0):
        V = fn.Potential(lambda x: energy * (0.2 * jnp.cos(2.0 * x[0]) + 0.3 * x[0] ** 2 + constant))
        run = jko.flow(0.5 * energy * fn.Entropy() + V, mu, Cvxpy(formulation), tau=0.3 / energy, n_steps=1)
        return run.final.values, run.info.dissipation[0] / energy, run.info.gap[0] / energy

    values, dissipation, gap = taken(1.0)
    assert gap < 1e-6 * dissipation
    for others in (taken(1e-12), taken(1e12), taken(1.0, constant=1e6)):
        assert np.abs(others[0] - values).max() < 1e-3 * values.max()
        assert others[1] == pytest.approx(dissipation, abs=others[2] + gap)
        assert others[2] < 1e-6 * dissipation
