"""Bounds for a whole run against exact iterates, exact flows and finer runs; and runs of a given accuracy."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Gaussian, Grid, Particles, Trajectory, descent, exact, steps, wasserstein
from jko.bounds import Kind, Space, Steps, error_bound, flow_error_bound
from jko.experiment.experiment import parse
from jko.modulus import observed_modulus

CONFINED = fn.Entropy() + fn.Potential("quadratic")
WELLS = 0.5 * fn.Entropy() + fn.Potential("double_well", height=0.25)
WIDE, LINE = Grid.uniform(-8.0, 8.0, 400), Grid.uniform(-2.2, 2.2, 400)


def apart(run, truth):
    return np.array([float(wasserstein(mu, truth(t))) for mu, t in zip(run.measures, run.times, strict=True)])


def holds(bound, error, most):
    """bound ≥ error at every stored time after the start, and ≤ most · error at the last."""
    return np.all(bound[1:] >= error[1:]) and bound[-1] <= most * error[-1]


@pytest.mark.parametrize("n", [4, 32])
@pytest.mark.parametrize("end", [0.2, 1.0, 4.0])
def test_gaussians_are_within_the_bound_of_ornstein_uhlenbeck(n, end):
    flow = exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)
    run = jko.flow(CONFINED, flow.at(0.0), steps.Gaussian(), tau=end / n, n_steps=n)
    assert run.flow_error_bound_kind == run.error_bound_kind == "proven"
    assert holds(run.flow_error_bound, apart(run, flow.at), 3.1)
    assert run.error_bound[-1] < 1e-12


@pytest.mark.slow
def test_a_cloud_solved_loosely_is_within_the_bounds_of_its_iterates_and_its_flow():
    wells, cloud = fn.Potential("double_well", height=0.25), Particles(np.linspace(-1.3, 1.1, 25)[:, None])
    run, sharp, fine = (
        jko.flow(
            wells,
            cloud,
            descent.BackwardEuler(tolerance=tolerance),
            tau=1.0 / n,
            n_steps=n,
            store_every=n // 8,
        )
        for tolerance, n in ((3e-2, 16), (1e-12, 16), (1e-12, 512))
    )
    assert run.error_bound_kind == "proven"
    assert holds(run.error_bound, apart(run, sharp.at), 5.0)
    assert holds(run.flow_error_bound, apart(run, fine.at), 20.0)


@pytest.mark.parametrize("scheme", [steps.Quantile(), steps.MongeAmpere(), steps.Cvxpy()], ids=str)
def test_densities_are_within_the_bound_of_the_flow(scheme):
    flow = exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)
    run = jko.flow(CONFINED, flow.on(WIDE, 0.0), scheme, tau=0.25, n_steps=4)
    assert holds(run.flow_error_bound, apart(run, lambda t: flow.on(WIDE, t)), 10.0)


@pytest.mark.parametrize("unit", [1.0, 3.0])
@pytest.mark.parametrize(
    "scheme", [steps.PrimalDual(tolerance=1e-6), steps.Cvxpy(slices=2, formulation="eulerian")], ids=str
)
def test_what_inner_slices_cost_is_in_no_bound_which_is_therefore_an_estimate(scheme, unit):
    """A translation by .7: the gap is closed, the exact step is far, and no finer grid brings it near."""
    drift = fn.Potential(lambda x: -0.7 * unit * x[0], modulus=0.0)
    for n in (64, 256):
        grid = Grid.uniform(-4.0 * unit, 4.0 * unit, n)
        start, truth = (jko.Density.gaussian(grid, x * unit, 0.4 * unit) for x in (0.3, 1.0))
        run = jko.flow(drift, start, scheme, tau=1.0, n_steps=1)
        assert float(wasserstein(run.final, truth)) > max(0.05 * unit, 50.0 * run.error_bound[-1])
        assert run.error_bound_kind is run.flow_error_bound_kind is Kind.ESTIMATE


@pytest.mark.parametrize(
    ("F", "flow", "grid"),
    [
        (fn.Entropy(), exact.OrnsteinUhlenbeck(mean=0.0, std=0.5, stiffness=0.0), WIDE),
        (fn.Power(2.0), exact.Barenblatt(2.0, start_time=0.1), Grid.uniform(-2.5, 2.5, 500)),
    ],
)
def test_flows_without_confinement(F, flow, grid):
    run = jko.flow(F, flow.on(grid, 0.0), steps.Quantile(), tau=0.025, n_steps=16)
    assert run.displacement_modulus == 0.0
    assert holds(run.flow_error_bound, apart(run, lambda t: flow.on(grid, t)), 10.0)


@pytest.mark.slow
def test_double_wells_are_within_the_bound_of_a_finer_run_and_an_undeclared_well_is_an_estimate():
    start = Gaussian([0.4], [[0.35**2]]).on(LINE)
    fine = jko.flow(WELLS, start, steps.SecondOrder(steps.Quantile()), tau=0.4 / 64, n_steps=64)
    run = jko.flow(WELLS, start, steps.Quantile(), tau=0.05, n_steps=8)
    assert run.displacement_modulus == -1.0
    assert holds(run.flow_error_bound, apart(run, fine.at), 10.0)
    undeclared = 0.5 * fn.Entropy() + fn.Potential(lambda x: 0.25 * (x[0] ** 2 - 1.0) ** 2)
    again = jko.flow(undeclared, start, steps.Quantile(), tau=0.05, n_steps=8)
    assert again.flow_error_bound_kind == again.error_bound_kind == "estimate"
    assert again.observed_modulus == pytest.approx(-1.0, abs=1e-3)
    assert again.flow_error_bound == pytest.approx(run.flow_error_bound, rel=1e-2)


def test_steps_of_a_given_gap_are_bounded_by_what_a_worst_solver_does():
    """F = λ|x|²/2 for one particle, each step off by as much as its gap allows, always to the same side."""
    gap, tau, n = 1e-4, 0.1, 30
    for stiffness in (-1.0, 0.0, 2.0):
        off = np.sqrt(2.0 * gap / (1.0 / tau + stiffness))
        x, y, info = 1.0, 1.0, []
        for _ in range(n):
            y, new = y / (1.0 + tau * stiffness), x / (1.0 + tau * stiffness) + off
            cost = (new - x) ** 2 / (2.0 * tau)
            info.append((gap, cost, 0.5 * stiffness * (x * x - new * new) - cost))
            x = new
        record = Steps(*np.array(info).T, tau)
        assert error_bound(record, stiffness)[-1] == pytest.approx(x - y, rel=1e-12)
        to_flow = abs(x - np.exp(-stiffness * n * tau))
        assert to_flow <= flow_error_bound(record, stiffness)[-1] <= 4.0 * to_flow


def test_no_bound_where_no_theory_holds():
    tau = np.full(3, 0.1)
    assert np.isnan(error_bound(Steps(tau, tau, tau, 0.5), -3.0)[1:]).all()
    assert np.isnan(flow_error_bound(Steps(tau, tau, tau, 0.5), -3.0)[1:]).all()
    gaps = Steps(np.array([0.0, np.nan, 0.0]), tau, tau, 0.5)
    assert np.isnan(error_bound(gaps, 0.0)).tolist() == [False, False, True, True]
    assert np.isnan(flow_error_bound(gaps, 0.0)).tolist() == [False, False, True, True]
    cloud = Particles(np.ones((3, 1)))
    run = jko.flow(fn.Potential("quadratic"), cloud, descent.ForwardEuler(), tau=0.1, n_steps=2)
    assert run.space is Space.NONE
    assert run.error_bound_kind is run.flow_error_bound_kind is Kind.NONE
    assert np.isnan(run.error_bound).all()


def test_covariances_that_turn_leave_the_bound_to_iterates_an_estimate():
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=[1.0, 3.0])
    start = Gaussian([1.0, 0.0], [[1.0, 0.6], [0.6, 0.5]])
    run = jko.flow(F, start, steps.Gaussian(), tau=0.1, n_steps=5)
    assert (run.error_bound_kind, run.flow_error_bound_kind) == ("estimate", "proven")
    flow = exact.OrnsteinUhlenbeck([1.0, 0.0], covariance=start.covariance(), stiffness=[1.0, 3.0])
    assert holds(run.flow_error_bound, apart(run, flow.at), 10.0)


def test_bounds_cover_all_steps_and_are_saved(tmp_path):
    start = Gaussian([0.4], [[0.1]])
    every, few = (
        jko.flow(CONFINED, start, steps.Gaussian(), tau=0.1, n_steps=9, store_every=store) for store in (1, 4)
    )
    assert few.flow_error_bound.tolist() == every.flow_error_bound[[0, 4, 8, 9]].tolist()
    loaded = Trajectory.load(few.save(tmp_path / "run.nc"))
    assert loaded.flow_error_bound.tolist() == few.flow_error_bound.tolist()
    assert loaded.flow_error_bound_kind == "proven"
    assert few.to_xarray()["flow_error_bound"].values.tolist() == few.flow_error_bound.tolist()


def test_the_convexity_that_a_grid_sees():
    grid = Grid.uniform((-1.0, -1.0), (1.0, 1.0), (40, 30))
    A = jnp.array([[1.0, 2.0], [2.0, 1.0]])
    saddle, pulls = fn.Potential(lambda x: 0.5 * x @ A @ x), fn.Interaction(lambda z: jnp.cos(z[0]))
    assert observed_modulus(saddle + fn.Entropy(), grid, 1.0) == pytest.approx(-1.0, abs=1e-6)
    assert observed_modulus(2.0 * saddle + 3.0 * pulls, grid, 1.0) == pytest.approx(-5.0, abs=1e-2)
    assert observed_modulus(fn.Interaction("logarithmic", strength=-1.0), WIDE, 1.0) is not None
    assert observed_modulus(fn.Power(0.3), Grid.uniform((0.0, 0.0), (1.0, 1.0), (4, 4)), 1.0) is None


def test_round_an_obstacle_lambda_is_not_what_the_functional_declares():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (8, 8))
    scheme = steps.BackAndForth(obstacle=np.eye(8, dtype=bool))
    mu = Gaussian([0.5, 0.5], np.eye(2)).on(grid)
    assert steps.BackAndForth().displacement_modulus(fn.Power(2.0), mu) == 0.0
    assert scheme.displacement_modulus(fn.Power(2.0), mu) is None


@pytest.mark.parametrize("accuracy", [0.1, 0.01])
def test_a_run_of_a_given_accuracy_meets_it(accuracy):
    flow = exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)
    run = jko.flow(CONFINED, flow.at(0.0), steps.Gaussian(), time=1.0, accuracy=accuracy)
    assert run.times == pytest.approx(np.linspace(0.0, 1.0, 11))
    assert run.attributes["accuracy_met"]
    assert apart(run, flow.at).max() <= run.flow_error_bound.max() <= accuracy
    assert run.flow_error_bound.max() >= 0.3 * accuracy


def test_a_loose_solver_is_tightened_for_an_accuracy(tmp_path):
    wells, cloud = fn.Potential("double_well", height=0.25), Particles(np.linspace(-1.3, 1.1, 25)[:, None])
    loose = descent.BackwardEuler(tolerance=0.1)
    settings = {"tau": 0.25, "n_steps": 4, "accuracy": 0.03}
    run = jko.flow(wells, cloud, loose, **settings, checkpoint=tmp_path / "run")
    fine = jko.flow(wells, cloud, descent.BackwardEuler(), tau=1.0 / 256, n_steps=256, store_every=64)
    assert run.times.tolist() == fine.times.tolist()
    assert apart(run, fine.at).max() <= 0.03
    assert "tolerance=0.1," not in run.scheme
    again = jko.flow(wells, cloud, loose, **settings, checkpoint=tmp_path / "run")
    assert again.energy.tolist() == run.energy.tolist()


def test_an_accuracy_out_of_reach_is_said_so():
    run = jko.flow(
        CONFINED, Gaussian([1.0], [[0.2]]), steps.Gaussian(), time=1.0, accuracy=1e-6, most_steps=50
    )
    assert not run.attributes["accuracy_met"]
    assert "not met, the next try would take" in run.attributes["accuracy_note"]
    undeclared = fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
    run = jko.flow(undeclared, Particles(np.ones((2, 1))), descent.BackwardEuler(), time=1.0, accuracy=0.1)
    assert run.info.n_steps == 10
    assert "its steps have no gap" in run.attributes["accuracy_note"]


def test_a_step_too_long_for_the_convexity_is_shortened_for_an_accuracy():
    wells, cloud = fn.Potential("double_well", height=0.25), Particles(np.array([[-1.0], [0.5]]))
    run = jko.flow(wells, cloud, descent.BackwardEuler(), tau=1.5, n_steps=1, accuracy=0.2)
    assert run.attributes["accuracy_met"]
    assert run.tau < 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"time": 1.0, "accuracy": 0.1}, ValueError, "ForwardEuler has no bound"),
        ({"time": 1.0, "accuracy": -0.1}, ValueError, "accuracy: expected"),
        ({"time": 1.0}, TypeError, "time: stands with accuracy"),
        ({"tau": 0.1}, TypeError, "give n_steps"),
        ({"accuracy": 0.1}, TypeError, "give tau and n_steps, or time"),
    ],
)
def test_arguments_of_an_accuracy_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        jko.flow(fn.Potential("quadratic"), Particles(np.ones((2, 1))), descent.ForwardEuler(), **arguments)


def test_an_experiment_file_asks_for_an_accuracy():
    text = """
        initial = {kind = "gaussian", mean = 1.5, std = 0.5}
        functional = [{name = "entropy"}, {name = "potential", potential = "quadratic"}]
        [runs.JKO]
        scheme = "SCHEME"
        tau = 0.5
        t_final = 1.0
        accuracy = 0.05
    """
    file = parse(text.replace("SCHEME", "steps.Gaussian"))
    run = file.runs["JKO"].flow(file.functional)
    assert run.times.tolist() == [0.0, 0.5, 1.0]
    assert run.attributes["accuracy_met"]
    with pytest.raises(ValueError, match=r"runs.JKO.accuracy: descent.Langevin has no bound"):
        parse(text.replace("SCHEME", "descent.Langevin"))


@pytest.mark.slow
def test_a_comparison_shows_both_bounds_with_their_kind_and_draws_the_band(tmp_path):
    flow = exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)
    runs = {
        "asked": jko.flow(CONFINED, flow.at(0.0), steps.Gaussian(), time=1.0, accuracy=0.1),
        "cloud": jko.flow(
            CONFINED, flow.at(0.0).sample(50, 0), descent.Langevin(0), tau=0.1, n_steps=10, store_every=1
        ),
    }
    comparison = jko.compare(runs, exact=flow)
    asked, cloud = comparison.table
    assert asked["flow_error_bound"] == runs["asked"].flow_error_bound[-1] >= asked["w2_exact"]
    assert (asked["flow_error_bound_kind"], cloud["flow_error_bound_kind"]) == ("proven", "none")
    assert np.isnan(cloud["error_bound"])
    for words in ("W2 to the flow, at most", "W2 to exact iterates, at most", "0.1, met", "is proven"):
        assert words in str(comparison)
    axes = comparison.plot_errors(tmp_path / "errors.png").axes[0]
    line, dots = (
        next(line for line in axes.lines if len(line.get_xdata()) and line.get_marker() == marker)
        for marker in ("None", "o")
    )
    assert line.get_ydata().tolist() == runs["asked"].flow_error_bound[1:].tolist()
    assert dots.get_ydata().tolist() == comparison.distance("W2", "asked")[1:].tolist()
    assert len(axes.collections) == 1
    with pytest.raises(ValueError, match="none has a bound to draw"):
        jko.plotting.plot_errors({"cloud": runs["cloud"]})


def test_random_inexact_runs_of_convex_functions_with_kinks_keep_within_their_bounds():
    """F(x) = Σ ½aᵢxᵢ² + c|xᵢ| for points x, in which proximal maps and the flow are closed forms."""
    rng, least = np.random.default_rng(20261128), np.inf
    for _ in range(200):
        a, c = rng.normal(size=3) * 10.0 ** rng.uniform(-1.0, 1.0), rng.choice([0.0, 1.0])
        tau, size = 10.0 ** rng.uniform(-2.0, 0.0), 10.0 ** rng.uniform(-5.0, 0.0)
        a = np.abs(a) if 1.0 + tau * a.min() < 0.2 else a
        start = x = y = rng.normal(size=3)
        rows, apart_from = [], []
        for k in range(1, 25):
            v, y = _proximal(x, tau, a, c), _proximal(y, tau, a, c)
            new = v + size * rng.normal(size=3)
            cost, fall = np.sum((new - x) ** 2) / (2.0 * tau), _kinked(x, a, c) - _kinked(new, a, c)
            best = np.sum((v - x) ** 2) / (2.0 * tau) + _kinked(v, a, c)
            rows.append((cost + _kinked(new, a, c) - best, cost, fall - cost))
            x = new
            apart_from.append((np.linalg.norm(x - y), np.linalg.norm(x - _kinked_flow(start, k * tau, a, c))))
        record, modulus = Steps(*np.array(rows).T, tau), a.min()
        bounds = error_bound(record, modulus)[1:], flow_error_bound(record, modulus)[1:]
        least = min(least, np.min(np.array(bounds).T / np.array(apart_from)))
    assert least >= 1.0 - 1e-6
    assert least <= 1.2


def _kinked(x, a, c):
    return 0.5 * np.sum(a * x * x) + c * np.sum(np.abs(x))


def _proximal(x, tau, a, c):
    return np.sign(x) * np.maximum(np.abs(x) - tau * c, 0.0) / (1.0 + tau * a)


def _kinked_flow(x, t, a, c):
    size = (np.abs(x) + c / a) * np.exp(-a * t) - c / a
    return np.sign(x) * (np.maximum(size, 0.0) if c > 0.0 else size)
