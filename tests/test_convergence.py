"""Observed orders against closed forms."""

import math

import numpy as np
import pytest

import functionals as fn
import jko

VALUES = [0.2, 0.1, 0.05, 0.025]


def test_a_power_law_is_found_exactly():
    study = jko.convergence(lambda h: 3.0 * h**1.7, VALUES, parameter="h", error=lambda result: result)
    assert study.order == pytest.approx(1.7, rel=1e-12)
    assert study.spread < 1e-10
    np.testing.assert_allclose(study.orders, 1.7, rtol=1e-12)
    np.testing.assert_allclose(study.errors, 3.0 * np.array(VALUES) ** 1.7, rtol=1e-15)


def test_the_slope_of_least_squares_and_its_spread():
    """log-errors off a line by a known pattern: slope and standard error by hand."""
    bumps = np.array([0.1, -0.1, -0.1, 0.1])
    errors = dict(zip(VALUES, np.array(VALUES) * np.exp(bumps), strict=True))
    study = jko.convergence(errors.get, VALUES, error=float)
    x = np.log(VALUES) - np.mean(np.log(VALUES))
    assert study.order == pytest.approx(1.0, abs=1e-12)  # the pattern is orthogonal to the line
    assert study.spread == pytest.approx(math.sqrt(0.04 / 2 / np.sum(x**2)), rel=1e-9)


def test_jko_is_of_first_order_in_tau():
    F = fn.Entropy() + fn.Potential("quadratic")
    start, exact = jko.Gaussian.of(1.5, 0.5), jko.exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)

    def run(tau):
        return jko.flow(F, start, jko.steps.Gaussian(), tau=tau, n_steps=round(1.0 / tau))

    to_exact = jko.convergence(run, VALUES, parameter="tau", exact=exact, distance="W2")
    assert to_exact.order == pytest.approx(1.0, abs=0.06)
    assert to_exact.measured == "W2 to exact"
    successive = jko.convergence(run, VALUES, parameter="tau", distance="W2")
    assert len(successive.values) == len(VALUES) - 1
    assert successive.order == pytest.approx(1.0, abs=0.08)
    exact_step = jko.convergence(run, [0.1, 0.05], error=lambda r: r.final.covariance()[0, 0])
    assert math.isnan(exact_step.spread)


def test_samples_converge_as_one_over_the_square_root_of_their_number():
    law = jko.Gaussian.of(0.0, 1.0)
    study = jko.convergence(
        lambda n, seed: law.sample(int(n), seed=seed),
        [100, 400, 1600, 6400],
        parameter="N",
        seeds=range(40),
        error=lambda cloud: abs(cloud.mean()[0]),
    )
    assert study.order == pytest.approx(-0.5, abs=3.0 * study.spread)
    assert 0.0 < study.spread < 0.06
    np.testing.assert_allclose(study.errors, np.array([100, 400, 1600, 6400]) ** -0.5, rtol=0.35)


def test_an_error_of_zero_has_no_order_and_breaks_nothing():
    study = jko.convergence(lambda h: 0.0 if h < 0.06 else h, VALUES, error=float)
    assert np.isnan(study.orders[1:]).all()
    assert study.order == pytest.approx(1.0)
    assert "nan" in str(study)


def test_the_table(tmp_path):
    study = jko.convergence(lambda h: h**2, VALUES, parameter="h", error=float)
    lines = str(study).splitlines()
    assert lines[0].split()[:3] == ["h", "error", "order"]
    assert lines[3].split()[:3] == ["0.1", "1.000e-02", "2.00"]
    assert "observed order in h: 2.000" in lines[-1]
    assert study.to_csv(tmp_path / "orders.csv").read_text().splitlines()[0] == "h,error,order"


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"values": [0.1]}, ValueError, "values: expected two or more"),
        ({"values": [0.1, 0.1]}, ValueError, "all different"),
        ({"values": [0.1, -0.1]}, ValueError, "positive"),
        ({"values": VALUES, "error": lambda r: -1.0}, ValueError, "a number of at least 0 at 0.2"),
        ({"values": VALUES, "error": lambda r: math.nan}, ValueError, "got nan"),
        ({"values": VALUES, "error": float, "exact": 1}, ValueError, "give one of them"),
        ({"values": VALUES, "distance": "L2"}, ValueError, "distance: expected one of"),
        ({"values": VALUES}, TypeError, "run: expected it to return a Trajectory"),
        ({"values": VALUES, "seeds": [0]}, ValueError, "seeds:"),
    ],
)
def test_refusals(arguments, error, match):
    def run(value, seed=0):
        return value

    with pytest.raises(error, match=match):
        jko.convergence(run, **arguments)
