"""Steps that follow an error target, and the choice of a step with its reason."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Gaussian, Grid, Particles, exact, flow, steps
from jko.errors import UnsupportedFunctional
from jko.scheme import KINDS, Scheme, State, StepInfo
from jko.steps.adaptive import distance
from tests import problems
from tests.own_schemes import private

CONFINED = fn.Entropy() + fn.Potential("quadratic")
FAR = exact.OrnsteinUhlenbeck(mean=3.0, std=0.3)


@pytest.mark.parametrize(
    ("scheme", "tolerances"),
    [
        (steps.Gaussian(), (0.1, 0.03, 0.01)),
        (steps.SecondOrder(steps.Gaussian()), (1e-3, 2e-4, 4e-5)),
    ],
)
def test_the_error_stays_below_its_target_and_the_output_times_stand(scheme, tolerances):
    work = []
    for tolerance in tolerances:
        adaptive = steps.Adaptive(scheme, tolerance=tolerance)
        run = flow(CONFINED, Gaussian.of(3.0, 0.3), adaptive, tau=0.25, n_steps=8)
        assert run.times == pytest.approx(0.25 * np.arange(9))
        errors = [distance(m, FAR.at(t)) for m, t in zip(run.measures, run.times, strict=True)]
        assert max(errors) < tolerance
        assert run.info.dissipation.min() > 0.0
        work.append(sum(run.info.detail("steps")))
        estimates = np.cumsum(run.info.detail("error"))
        assert np.all(np.array(errors[1:]) < 1.3 * estimates)
    finer = tolerances[1] / tolerances[2]
    assert work[0] < work[1] < work[2]
    assert work[2] / work[1] == pytest.approx(finer ** (1.0 / scheme.order), rel=0.25)
    assert adaptive.order == scheme.order


def test_lengths_follow_a_flow_that_slows_down():
    solution = exact.Barenblatt(2.0, start_time=0.01)
    mu = solution.on(Grid.uniform(-2.0, 2.0, 800))
    scheme = steps.Adaptive(steps.Quantile(), tolerance=0.3)
    run = flow(fn.Power(2.0), mu, scheme, tau=0.1, n_steps=4)
    first, last = run.info.row(0).details, run.info.row(-1).details
    assert first["shortest"] < 0.1 * last["shortest"]
    assert first["steps"] > 4 * last["steps"]
    errors = [distance(m, solution.on(mu.grid, t)) for m, t in zip(run.measures, run.times, strict=True)]
    assert max(errors) < 0.3 * 0.1
    assert np.all(np.diff(run.energy) < 0.0)


def test_a_run_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path):
    mu = FAR.on(Grid.uniform(-8.0, 8.0, 200))
    scheme = steps.Adaptive(steps.auto(CONFINED, mu), tolerance=0.1)
    whole = flow(CONFINED, mu, scheme, tau=0.1, n_steps=4)
    flow(CONFINED, mu, scheme, tau=0.1, n_steps=2, checkpoint=tmp_path / "run")
    resumed = flow(CONFINED, mu, scheme, tau=0.1, n_steps=4, checkpoint=tmp_path / "run")
    assert np.array_equal(whole.final.values, resumed.final.values)
    assert whole.info.note.tolist() == resumed.info.note.tolist()


@private
@dataclass(frozen=True)
class Moody(Scheme):
    """Shifts a Gaussian; fails above a length, or errs by the same amount whatever the length."""

    takes: ClassVar = KINDS
    measures: ClassVar = (Gaussian,)
    longest: float = 1.0
    noise: float = 0.0

    def step(self, problem, mu, t, tau, state):
        status = "converged" if tau <= self.longest else "not converged"
        noise = self.noise if state.get("taken", 0) % 2 else -self.noise
        new = Gaussian(mu.mean() + tau + noise, mu.covariance())
        taken = state.get("taken", 0) + 1
        return new, State({"taken": taken}), StepInfo(status=status, gap=0.0, dissipation=0.0, iterations=1)


def test_failures_shorten_a_step_and_noise_is_told_from_error():
    mu = Gaussian.of(0.0, 1.0)
    run = flow(CONFINED, mu, steps.Adaptive(Moody(longest=0.3)), tau=1.0, n_steps=1)
    assert run.final.mean()[0] == pytest.approx(1.0)
    assert run.info.detail("longest")[0] <= 0.15
    assert run.info.detail("rejected")[0] > 0
    noisy = flow(CONFINED, mu, steps.Adaptive(Moody(noise=0.05)), tau=1.0, n_steps=1)
    assert noisy.info.detail("at_floor")[0] > 0
    hopeless = flow(
        CONFINED, mu, steps.Adaptive(Moody(longest=0.0), max_steps=50), tau=1.0, n_steps=1, throw=False
    )
    assert hopeless.info.status[0] == "not converged"
    assert "50 solves were not enough" in hopeless.info.note[0]


def test_adaptive_refuses_what_it_cannot_compare():
    with pytest.raises(TypeError, match="scheme: expected a scheme such as"):
        steps.Adaptive("Quantile")
    with pytest.raises(ValueError, match="tolerance: expected a positive number"):
        steps.Adaptive(steps.Quantile(), tolerance=0.0)
    with pytest.raises(TypeError, match="Adaptive moves Density or Gaussian, got Particles"):
        steps.Adaptive(steps.Quantile()).prepare(CONFINED, Particles(np.zeros((3, 1))))


ENTROPY_2D = fn.Entropy() + fn.Potential("quadratic")
CHOICES = {
    "gaussian": (ENTROPY_2D, problems.gaussian(2), steps.Gaussian, "closed form"),
    "line": (CONFINED, problems.density(1), steps.Quantile, "on the line"),
    "positive": (ENTROPY_2D, problems.density(2), steps.MongeAmpere, "positive on all 24×24 cells"),
    "vacuum": (ENTROPY_2D, problems.density_with_vacuum(2), steps.BackAndForth, "has vacuum"),
    "front": (fn.Power(2.0), problems.density(2), steps.BackAndForth, "allows vacuum"),
    "cap": (ENTROPY_2D + fn.Cap(2.0), problems.density(2), steps.PrimalDual, "a cap"),
    "3D": (ENTROPY_2D, problems.density(3), steps.MongeAmpere, "10×10×10"),
    "no internal energy": (fn.Potential("quadratic"), problems.density(2), steps.Cvxpy, "no internal"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_auto_chooses_with_a_reason_that_stands_in_the_first_record(name):
    F, mu, expected, reason = CHOICES[name]
    chosen = steps.auto(F, mu)
    assert isinstance(chosen.scheme, expected)
    assert reason in chosen.reason
    if expected is steps.Cvxpy:
        return
    run = flow(F, mu, chosen, tau=0.01, n_steps=1, throw=False)
    plain = flow(F, mu, chosen.scheme, tau=0.01, n_steps=1, throw=False)
    assert run.info.detail("chosen")[0] == chosen.scheme.scheme_name()
    assert run.energy.tolist() == plain.energy.tolist()


def test_auto_refuses_by_name():
    with pytest.raises(TypeError, match="auto chooses for a Density or a Gaussian, got Particles"):
        steps.auto(CONFINED, Particles(np.zeros((3, 1))))
    with pytest.raises(UnsupportedFunctional, match=r"steps\.Gaussian takes quadratic"):
        steps.auto(fn.Potential("double_well"), Gaussian.of(0.0, 1.0))


def test_auto_goes_on_where_the_line_refuses():
    mu = Density.uniform(Grid.uniform(-2.0, 2.0, 40), -1.0, 1.0)
    F = fn.Entropy() + fn.Cap(lambda x: jnp.where(x[0] > 1.5, 0.0, 1.0))
    chosen = steps.auto(F, mu)
    assert not isinstance(chosen.scheme, steps.Quantile)
    assert chosen.reason
