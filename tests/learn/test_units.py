"""What is learnt does not depend on the units of the data: lengths by 1e3 and times by 1e-2."""

import numpy as np
import pytest

import jko
from functionals import pointwise
from jko.learn import Network, Polynomial, Quadratic, Radial, Snapshots, Splines, fit
from tests.learn.laws import mean_field, ornstein_uhlenbeck

LENGTH, TIME = 1e3, 1e-2
A, B = np.array([[1.0, 0.3], [0.3, 2.0]]), np.array([0.5, -0.2])

BASES = {
    "quadratic": lambda unit: Quadratic(),
    "polynomial": lambda unit: Polynomial(4),
    "radial": lambda unit: Radial(40, unit),
    "radial of its own width": lambda unit: Radial(40, None),
    "splines": lambda unit: Splines(cells=5),
    "network": lambda unit: Network(width=6, iterations=10),
}
COMMON = {("quadratic", "explicit")}


def in_other_units(seen):
    clouds = [mu.with_positions(LENGTH * mu.positions) for mu in seen.measures]
    return Snapshots(TIME * np.asarray(seen.times), clouds)


def same(theirs, ours):
    """Whether a squared length over a time agrees to 1e-6."""
    return theirs == pytest.approx(ours * LENGTH**2 / TIME, rel=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "step"),
    [
        pytest.param(name, step, marks=() if (name, step) in COMMON else pytest.mark.long)
        for name in BASES
        for step in ("flow", "explicit", "implicit")
        if (name, step) != ("polynomial", "implicit")  # stiffer than a prediction's own step
    ],
)
def test_a_potential_and_a_temperature(name, step):
    start = np.array([2.0, 1.0]), 0.05 * np.eye(2)
    seen = ornstein_uhlenbeck(A, B, 0.3, *start, [0.0, 0.2, 0.5, 1.0], 400, 0)
    settings = {"temperature": "fit", "step": step, "progress": False}
    ours = fit(seen, BASES[name](1.0), **settings)
    theirs = fit(in_other_units(seen), BASES[name](LENGTH), **settings)
    assert [part.regularisation for part in theirs.parts] == [part.regularisation for part in ours.parts]
    x = seen.pooled()[::5]
    for t in (0.1, 0.3, 0.8):
        force = ours.functional.at(t).parts.potential
        other = theirs.functional.at(TIME * t).parts.potential
        slopes = sum(c * pointwise.gradients(atom.V, x) for c, atom in force)
        scaled = sum(c * pointwise.gradients(atom.V, LENGTH * x) for c, atom in other)
        assert np.abs(scaled * TIME / LENGTH - slopes).max() < 1e-6 * np.abs(slopes).max()
    assert same(theirs.temperature, ours.temperature)
    assert same(theirs.temperature_error, ours.temperature_error)
    moved = ours.predict(seen[0], [0.0, 0.2]).final.positions
    further = theirs.predict(in_other_units(seen)[0], [0.0, 0.2 * TIME]).final.positions
    assert np.abs(further / LENGTH - moved).max() < 1e-6


@pytest.mark.parametrize("step", ["explicit", "flow"])
def test_what_the_regularisation_sets_is_not_set_to_nothing(step):
    """Splines make any quadratic: directions that move nothing, in which V and θ followed rounding."""
    seen = ornstein_uhlenbeck(1.0, 0.0, 0.3, np.array([2.0]), 0.2 * np.eye(1), [0.0, 0.2, 0.5], 200, 0)
    settings = {"temperature": "fit", "step": step, "refinement": 0, "progress": False}
    with pytest.warns(UserWarning, match="rests on the regularisation"):
        ours, theirs = (fit(s, Splines(cells=5), **settings) for s in (seen, in_other_units(seen)))
    assert same(theirs.parameters, ours.parameters)
    for found in (ours, theirs):
        assert sum(d.information < 1e-12 for d in found.identifiability.null_directions) >= 2
        assert not any("set to 0" in sentence for sentence in found.report.warnings)


def test_time_courses():
    seen = mean_field(1.0, 0.5, 0.5, 2.0, 2.0, [0.0, 0.2], 100, 0)
    ours, theirs = jko.learn.interpolate(seen), jko.learn.interpolate(in_other_units(seen))
    assert theirs(0.1 * TIME).positions / LENGTH == pytest.approx(ours(0.1).positions, rel=1e-9)
