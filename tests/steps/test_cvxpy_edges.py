"""The convex program on edges of one's own: the step of the quantiles, and what it refuses."""

import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, flow, steps, wasserstein


def half_line(n, unit=1.0):
    return Grid.from_edges(unit * np.append(0.0, np.geomspace(0.02, 8.0, n)))


def both(F, mu, tau):
    runs = [flow(F, mu, scheme, tau=tau, n_steps=3) for scheme in (steps.Quantile(), steps.Cvxpy())]
    assert runs[1].info.relative_gap.max() < 1e-5
    assert runs[1].info.mass_error.max() < 1e-12
    return wasserstein(*(run.final for run in runs))


@pytest.mark.parametrize("units", [(1.0, 1.0), (4.0, 1e-3)])
@pytest.mark.parametrize("hold", [fn.Entropy(), fn.Power(2.0)], ids=repr)
def test_it_tends_to_the_step_of_the_quantiles(hold, units):
    unit, energy = units
    F = energy * (unit if type(hold) is fn.Power else 1.0) * hold
    F = F + energy * fn.Potential(lambda x: 0.5 * (x[0] / unit - 1.0) ** 2)
    off = []
    for n in (40, 80):
        mu = Density.gaussian(half_line(n, unit), 2.5 * unit, 0.6 * unit)
        off.append(both(F, mu, 0.1 * unit**2 / energy) / unit)
    assert off[1] < 0.01
    assert off[0] / off[1] > 2.5, off


def test_under_a_cap_the_two_are_the_same():
    F, mu = fn.Cap(0.8) + fn.Potential("quadratic", stiffness=1.0), Density.uniform(half_line(40), 1.0, 3.0)
    assert both(F, mu, 0.1) < 1e-6


def test_refusals():
    mu, F = Density.uniform(half_line(20), 1.0, 3.0), fn.Entropy()
    with pytest.raises(ValueError, match="formulation: edges of one's own take the Lagrangian form"):
        steps.Cvxpy(formulation="eulerian").prepare(F, mu)
    with pytest.raises(ValueError, match=r"does not take Interaction.*: take steps\.Quantile"):
        steps.Cvxpy().prepare(F + fn.Interaction("quadratic"), mu)
    with pytest.raises(ValueError, match="eulerian"):
        steps.Cvxpy(length=1.0).prepare(F, mu)
