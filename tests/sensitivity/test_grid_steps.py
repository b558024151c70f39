"""Derivatives of `steps.MongeAmpere` and `steps.Linearized`: the exact answer, and differences."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import UnsupportedFunctional
from jko.sensitivity import value_and_gradient
from jko.sensitivity.tolerances import TOLERANCES
from jko.steps.linearized.newton import LinearizedNewton
from tests.sensitivity.differences import along, by_differences, exact_gradient, worst_error

SHARP = {
    "MongeAmpere": jko.steps.MongeAmpere(tolerance=1e-14),
    "Linearized": jko.steps.Linearized(tolerance=1e-11),
}


def density(dimension, length=1.0):
    if dimension == 1:
        grid = jko.Grid.uniform(-5.0 * length, 5.0 * length, 80)
        return jko.Density.gaussian(grid, mean=0.8 * length, std=0.8 * length)
    grid = jko.Grid.uniform((-4.0 * length,) * 2, (4.0 * length,) * 2, (24, 28))
    return jko.Density.gaussian(grid, mean=(0.5 * length, 0.2 * length), std=0.8 * length)


def loss_in(length):
    def loss(mu):
        return mu.integrate(lambda x: (x[0] / length) ** 2 + jnp.sin(x[-1] / length))

    return loss


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARP)
@pytest.mark.parametrize(
    ("dimension", "length"),
    [(1, 1e3), pytest.param(2, 1.0, marks=pytest.mark.long), pytest.param(2, 1e3, marks=pytest.mark.long)],
)
def test_differences_of_the_engine(name, dimension, length):
    rng = np.random.default_rng([dimension, len(name)])
    parameters = {
        "stiffness": rng.uniform(0.5, 1.0, dimension),
        "hill": rng.uniform(0.2, 0.5) * length**2,
        "theta": rng.uniform(0.5, 0.8) * length**2,
        "speed": rng.uniform(0.5, 1.0) * length,
    }

    def make(p):
        def V(x, t):
            y = x - p["speed"] * t
            return 0.5 * jnp.sum(p["stiffness"] * y**2) + p["hill"] * jnp.cos(jnp.sum(x) / length)

        return fn.Potential(V) + p["theta"] * fn.Entropy()

    mu = density(dimension, length)
    error = worst_error(make, parameters, mu, SHARP[name], loss_in(length), tau=0.1, n_steps=2)
    assert error < 1e-5


def interacting(p):
    W = fn.Interaction(lambda z: p["a"] * jnp.sum(z**2) - p["b"] * jnp.exp(-jnp.sum(z**2)))
    return W + p["theta"] * fn.Entropy()


def of_two_energies(p):
    U = p["theta"] * fn.Entropy() + p["b"] * fn.Power(2.0)
    return U + fn.Potential(lambda x: 0.5 * p["a"] * jnp.sum(x**2))


MIXED = [
    (interacting, {"a": 0.5, "b": 0.6, "theta": 0.7}),
    (of_two_energies, {"a": 1.0, "b": 0.6, "theta": 0.5}),
]


def second_moment(mu):
    return mu.integrate(lambda x: jnp.sum(x**2))


@pytest.mark.slow
@pytest.mark.parametrize(("make", "parameters"), MIXED)
def test_interactions_and_two_energies_by_monge_ampere(make, parameters):
    settings = {"tau": 0.1, "n_steps": 1, "step": 1e-2}
    # the derivative by τ is a 300th of the others, and differences for it see gaps of 1e-14
    scheme = jko.steps.MongeAmpere(tolerance=1e-16)
    assert worst_error(make, parameters, density(2), scheme, second_moment, **settings) < 1e-5


def solved_to_rounding(F, mu, tau):
    """∫|x|² after a linearised step whose Newton method and field W∗ρ′ are iterated until nothing changes:
    the scheme ends at a gap of 1e-12 of F, whose root differences would see."""
    problem = SHARP["Linearized"].prepare(F, mu).at(tau).problem
    values, phi = mu.values, 0.0 * mu.values
    for _ in range(25 if F.parts.interaction else 6):
        outer = problem.outer(problem.interaction(values))
        newton = LinearizedNewton(problem.internal, tau, mu.grid.spacing, mu.values, outer)
        now = newton.solve(newton.start() if not phi.any() else newton.at(phi), 1e-18, 40)
        phi, before = now.phi, values
        values = newton.at(phi).density.reshape(mu.grid.cells)
        if np.abs(values - before).max() < 1e-14 * values.max():
            break
    return float(
        np.vdot(values, np.sum(mu.grid.points**2, axis=1).reshape(mu.grid.cells)) * mu.grid.cell_volume
    )


@pytest.mark.long
@pytest.mark.parametrize(("make", "parameters"), MIXED)
def test_interactions_and_two_energies_by_linearized(make, parameters):
    mu = density(1)
    found = value_and_gradient(second_moment, make, parameters, mu, SHARP["Linearized"], tau=0.1, n_steps=1)
    slopes = by_differences(lambda p: solved_to_rounding(make(p), mu, 0.1), parameters)
    for name, slope in slopes.items():
        assert found.gradient[name] == pytest.approx(slope, rel=1e-5)
    assert found.record.worst_residual <= TOLERANCES.solved_grid


def moments(mu):
    return mu.integrate(lambda x: x[0] + x[0] ** 2)


def test_the_exact_answer_by_monge_ampere():
    """Its differences are exact on Gaussians: what is left is the box."""
    parameters = {"stiffness": 1.3, "temperature": 0.7}

    def make(p):
        V = fn.Potential(lambda x: 0.5 * p["stiffness"] * jnp.sum(x**2))
        return V + p["temperature"] * fn.Entropy()

    grid = jko.Grid.uniform(-7.0, 7.0, 160)
    mu = jko.Density.gaussian(grid, mean=1.0, std=0.8)
    found = value_and_gradient(
        moments, make, parameters, mu, SHARP["MongeAmpere"], tau=0.2, n_steps=3, by=("parameters", "tau")
    )
    _, slopes, by_tau = exact_gradient(parameters, 0.2, 1.0, 0.8, 3)
    for leaf, slope in slopes.items():
        assert found.gradient["parameters"][leaf] == pytest.approx(slope, rel=1e-6)
    assert found.gradient["tau"] == pytest.approx(by_tau, rel=1e-6)
    assert found.record.worst_residual <= TOLERANCES.solved_grid


@pytest.mark.parametrize("name", SHARP)
@pytest.mark.parametrize("dimension", [pytest.param(1, marks=pytest.mark.long), 2])
def test_the_initial_measure(name, dimension):
    mu = density(dimension)

    def make(p):
        return fn.Potential(lambda x: p * jnp.sum(x**2 + jnp.sin(2.0 * x))) + 0.5 * fn.Entropy()

    settings = {"tau": 0.05, "n_steps": 2}
    found = value_and_gradient(loss_in(1.0), make, 0.5, mu, SHARP[name], by="measure", **settings)
    tilt = np.sin(mu.grid.points @ np.arange(1.0, dimension + 1.0)).reshape(mu.grid.cells)
    change = mu.values * (tilt - np.vdot(tilt, mu.values) / mu.values.sum())

    def value(by):
        moved = jko.Density(mu.grid, mu.values + by * change)
        return value_and_gradient(loss_in(1.0), make, 0.5, moved, SHARP[name], **settings).value

    assert np.vdot(found.gradient["values"], change) == pytest.approx(along(value, 1e-3), rel=1e-6)


def quadratic(p):
    V = fn.Potential(lambda x: 0.5 * p["stiffness"] * jnp.sum(x**2))
    return V + p["temperature"] * fn.Entropy()


@pytest.mark.slow
@pytest.mark.parametrize("length", [1.0, 1e3])
def test_the_initial_measure_in_tails(length):
    """On Gaussians the derivative of m + m² + σ² by ρ₀ is αx + βx² + const: β = ∂/∂σ₀², α = ∂/∂m₀ − 2βm₀. To
    second order in h wherever ρ₀ is above 1e-10 of its maximum."""
    tau, std, errors = 0.2, 0.8, []
    parameters = {"stiffness": 1.3, "temperature": 0.7 * length**2}
    growth, root = 1.0 + 1.3 * tau, np.sqrt(std**2 + 4.0 * tau * 0.7 * (1.0 + 1.3 * tau))
    beta = (std + root) ** 2 / (4.0 * growth**2 * std * root)  # σ′² by σ², σ′ = (σ + root)/2(1 + τϑ)
    alpha = (1.0 + 2.0 / growth) / growth - 2.0 * beta
    for cells in (160, 320):
        grid = jko.Grid.uniform(-7.0 * length, 7.0 * length, cells)
        mu = jko.Density.gaussian(grid, mean=length, std=std * length)
        found = value_and_gradient(
            lambda mu: mu.integrate(lambda y: y[0] / length + (y[0] / length) ** 2),
            quadratic, parameters, mu, SHARP["MongeAmpere"], tau=tau, n_steps=1, by="measure",
        )  # fmt: skip
        x = grid.axes[0] / length
        wrong = found.gradient["values"] / grid.cell_volume - alpha * x - beta * x**2
        wrong -= np.vdot(wrong, mu.values) / mu.values.sum()
        errors.append(np.abs(wrong[mu.values > 1e-10 * mu.values.max()]).max())
    assert errors[1] < 1.5  # of up to 30
    assert errors[0] / errors[1] > 3.2


@pytest.mark.parametrize("length", [1.0, pytest.param(1e3, marks=pytest.mark.slow)])
def test_differences_in_a_tail(length):
    """Of the mean logarithm of the density where it is 1e-8 to 1e-6 of its maximum, by relative changes of
    what lies around."""
    grid = jko.Grid.uniform(-7.0 * length, 7.0 * length, 160)
    mu = jko.Density.gaussian(grid, mean=length, std=0.8 * length)
    share = mu.values / mu.values.max()
    seen = (share > 1e-8) & (share < 1e-6)
    parameters = {"stiffness": 1.3, "temperature": 0.7 * length**2}
    settings = {"tau": 0.1, "n_steps": 2}

    def loss(mu):
        return jnp.sum(jnp.where(seen, jnp.log(mu.values * length), 0.0)) / seen.sum()

    change = np.where(share > 1e-10, mu.values * np.sin(grid.axes[0] / length), 0.0)

    def value(by):
        moved = jko.Density(grid, mu.values + by * change)
        return value_and_gradient(loss, quadratic, parameters, moved, SHARP["MongeAmpere"], **settings).value

    found = value_and_gradient(
        loss, quadratic, parameters, mu, SHARP["MongeAmpere"], by="measure", **settings
    )
    assert np.vdot(found.gradient["values"], change) == pytest.approx(along(value, 0.1), rel=1e-3)


def test_steep_tails_are_eliminated():
    """Where log ρ falls by hundreds the V-cycle does not help, and the adjoint is solved directly."""
    grid = jko.Grid.uniform(-6.0, 6.0, 120)
    mu = jko.Density.gaussian(grid, mean=0.2, std=0.3)

    def make(p):
        return fn.Potential(lambda x: 0.5 * p * jnp.sum(x**2)) + 0.02 * fn.Entropy()

    error = worst_error(make, 4.0, mu, SHARP["MongeAmpere"], loss_in(1.0), tau=0.1, n_steps=2)
    assert error < 1e-5


@pytest.mark.parametrize("length", [1.0, pytest.param(1e3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("scheme", "hill"), [(SHARP["MongeAmpere"], 0.05), (jko.steps.Linearized(), 0.0)], ids=list(SHARP)
)
def test_tails_in_a_wide_box(scheme, hill, length):
    """Where V is steep at a wall, at which p is mirrored, S folds and leaves the box; `Linearized` as it
    comes."""
    grid = jko.Grid.uniform((-4.0 * length,) * 2, (4.0 * length,) * 2, 20)
    mu = jko.Density.gaussian(grid, mean=(0.6 * length, 0.0), std=0.8 * length)

    def make(p):
        def V(x):
            well = 0.5 * p["stiffness"] * jnp.sum((x - 0.2 * length) ** 2)
            return well + hill * jnp.sum((x / length) ** 4) * length**2

        return fn.Potential(V) + p["theta"] * length**2 * fn.Entropy()

    def loss(mu):
        return mu.integrate(lambda x: jnp.sum((x / length) ** 2))

    parameters = {"stiffness": 1.3, "theta": 0.7}
    assert worst_error(make, parameters, mu, scheme, loss, tau=0.1, n_steps=1) < 1e-5


@pytest.mark.parametrize("middle", [0.3, 3.8])
def test_a_torus_is_differentiated_as_it_was_cut(middle):
    """A narrow bump in the middle of the array, and one astride its seam."""
    grid = jko.Grid.uniform(-4.0, 4.0, 64, periodic=True)
    away = (grid.axes[0] - middle + 4.0) % 8.0 - 4.0
    mu = jko.Density(grid, np.exp(-0.5 * (away / 0.35) ** 2)).normalized()

    def make(p):
        V = fn.Potential(lambda x: -p["pull"] * jnp.cos(0.25 * jnp.pi * (x[0] - middle - 0.2)))
        return V + p["theta"] * fn.Entropy()

    def loss(mu):
        return mu.integrate(lambda x: jnp.sin(0.25 * jnp.pi * (x[0] - middle)))

    parameters = {"pull": 2.0, "theta": 0.1}
    assert worst_error(make, parameters, mu, SHARP["MongeAmpere"], loss, tau=0.1, n_steps=1) < 1e-5


def test_vacuum_is_refused_by_name():
    grid = jko.Grid.uniform(-3.0, 3.0, 64)
    mu = jko.Density(grid, np.maximum(1.0 - grid.axes[0] ** 2, 0.0)).normalized()

    def make(p):
        return p * fn.Power(2.0)

    with pytest.raises(UnsupportedFunctional, match=r"vacuum.*steps\.Quantile"):
        value_and_gradient(moments, make, 1.0, mu, SHARP["MongeAmpere"], tau=0.1, n_steps=1)
