"""FiniteVolume with a reaction: a travelling wave, the split of the same flow, mass, refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import functionals as fn
import jko
from jko import limits, steps
from jko.errors import StepFailed
from jko.limits.reaction import Reaction
from tests import problems

LOGISTIC = 0.5 * fn.Power(2.0) + fn.Potential(lambda x: -1.0 + 0.0 * x[0])


def wave(t, x, diffusion, rate):
    """∂_tρ = DΔρ + rρ(1 − ρ) from [AblowitzZeppetella1979]: speed 5√(Dr/6)."""
    z = (x * np.sqrt(rate / diffusion) - 5.0 / np.sqrt(6.0) * rate * t) / np.sqrt(6.0)
    return (1.0 + np.exp(z)) ** -2


@pytest.mark.parametrize(("diffusion", "rate"), [(1.0, 1.0), (1e-6, 1e3)])
@pytest.mark.parametrize("kind", ["rate", "functional"])
def test_the_front_of_fisher_and_kpp(kind, diffusion, rate):
    length, time = np.sqrt(diffusion / rate), 2.0 / rate
    errors = []
    for n in (100, 200, 400):
        grid = jko.Grid.uniform(-40.0 * length, 40.0 * length, n)
        x = grid.axes[0]
        start = jko.Density(grid, wave(0.0, x, diffusion, rate))
        reaction = (lambda x, s: rate * (1.0 - s)) if kind == "rate" else rate * LOGISTIC
        scheme = limits.FiniteVolume(reaction=reaction)
        run = jko.flow(diffusion * fn.Entropy(), start, scheme, tau=20 * time / n, n_steps=n // 20)
        inner = np.abs(x) < 20.0 * length
        errors.append(np.abs(run.final.values - wave(time, x, diffusion, rate))[inner].max())
        made, left = (np.sum(run.info.detail(name)) for name in ("made", "left"))
        assert run.final.mass == pytest.approx(start.mass + made - left, rel=1e-12)
        assert run.info.mass_error.max() < 1e-12 * start.mass
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > 1.8), errors
    assert errors[-1] < 2e-4


def test_the_speed_of_the_front():
    """From a step the front settles to 2√(Dr) from below, by 3/2t."""
    grid = jko.Grid.uniform(0.0, 120.0, 480)
    start = jko.Density(grid, (grid.axes[0] < 5.0).astype(float))
    scheme = limits.FiniteVolume(reaction=lambda x, s: 1.0 - s)
    run = jko.flow(fn.Entropy(), start, scheme, tau=0.1, n_steps=400, store_every=50)
    where = [np.interp(-0.5, -mu.values, grid.axes[0]) for mu in run.measures]
    speed = (where[-1] - where[-3]) / (run.times[-1] - run.times[-3])
    middle = 0.5 * (run.times[-1] + run.times[-3])
    assert speed == pytest.approx(2.0 - 1.5 / middle, abs=0.015)


def test_it_is_the_flow_that_the_splitting_has():
    """The Hellinger–Kantorovich flow of KL in both ways, in the plane."""
    grid = jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), (40, 40))
    F = fn.KL(jko.Gaussian.of(0.0, 1.0, dimension=2))
    rho = jko.Density.gaussian(grid, (0.5, 0.0), 0.8)
    differences = []
    for n in (4, 8):
        own = jko.flow(F, rho, limits.FiniteVolume(reaction=F, length=0.7), tau=0.2 / n, n_steps=n).final
        split = steps.HellingerKantorovich(limits.FiniteVolume(), length=0.7, order=2)
        other = jko.flow(F, rho, split, tau=0.2 / n, n_steps=n).final
        differences.append(np.abs(own.values - other.values).sum() * grid.cell_volume)
    assert differences[1] < 1e-3
    assert np.log2(differences[0] / differences[1]) > 1.7


def test_a_rate_of_place_and_empty_cells():
    rho = problems.density_with_vacuum()
    scheme = limits.FiniteVolume(reaction=lambda x, s: x[0])
    run = jko.flow(fn.Potential("linear", slope=0.0), rho, scheme, tau=0.5, n_steps=2)
    assert np.allclose(run.final.values, rho.values * np.exp(rho.grid.axes[0]), rtol=1e-6)


def test_growth_without_a_bound_ends():
    scheme = limits.FiniteVolume(reaction=lambda x, s: 10.0 * s)
    with pytest.raises(StepFailed, match="the reaction's rate reached"):
        jko.flow(fn.Entropy(), problems.density(1), scheme, tau=5.0, n_steps=1)


def test_what_is_no_reaction_is_refused():
    for reaction in (1.0, "growth"):
        with pytest.raises(
            TypeError, match=r"reaction: expected a Functional, or a jax function g\(x, rho\)"
        ):
            jko.flow(
                fn.Entropy(), problems.density(1), limits.FiniteVolume(reaction=reaction), tau=0.1, n_steps=1
            )
    with pytest.raises(
        ValueError, match=r"length: .* reads it beside a reaction alone, got 0\.5 without one"
    ):
        limits.FiniteVolume(length=0.5)
    with pytest.raises(ValueError, match="length: expected a positive number"):
        jko.flow(fn.Entropy(), problems.density(1), limits.FiniteVolume(length=0.0), tau=0.1, n_steps=1)


@pytest.mark.parametrize(("dimension", "unit", "energy"), [(1, 1.0, 1.0), (2, 1e-3, 1e6)])
def test_growth_ends_at_the_cap_of_the_functional_that_grows(dimension, unit, energy):
    """F = −a∫ρ under a cap c: the Hellinger–Kantorovich flow of a uniform density is min(c, ρ₀ exp(at/δ²));
    beside a slope and from one half of the box F falls and the cap holds."""
    rate, volume = 0.7, (2.0 * unit) ** dimension
    cap = 1.3 / volume
    V = fn.Potential(lambda x: -rate + 0.0 * x[0])
    F = energy * V + fn.Cap(cap)
    grid = jko.Grid.uniform((-unit,) * dimension, (unit,) * dimension, (8,) * dimension)
    start = jko.Density(grid, np.full(grid.cells, 1.0 / volume))
    scheme = limits.FiniteVolume(reaction=F, length=unit)
    tau = 0.125 * unit**2 / energy
    run = jko.flow(F, start, scheme, tau=tau, n_steps=8)
    expected = np.minimum(1.3, np.exp(rate * run.times * energy / unit**2)) / volume
    for mu, value in zip(run.measures, expected, strict=True):
        np.testing.assert_allclose(mu.values, value, rtol=1e-9)
    half = jko.Density(grid, np.where(grid.centers[..., 0] < 0.0, 1.0, 0.01) / volume)
    run = jko.flow(F + energy * fn.Potential(lambda x: x[0] / unit), half, scheme, tau=tau, n_steps=8)
    assert np.all(np.diff(run.energy) <= 0.0)
    assert max(mu.values.max() for mu in run.measures) <= cap * (1.0 + 1e-9)


@pytest.mark.parametrize("internal", [None, 0.1 * fn.Power(2)])
def test_growth_beyond_what_a_box_holds_is_told(internal):
    """A mass of e^{.2} in a box of 1 under a cap of 1.2."""
    grid = jko.Grid.uniform(0.0, 1.0, 20)
    F = fn.Cap(1.2) + (fn.Potential("quadratic") if internal is None else internal)
    scheme = jko.limits.FiniteVolume(reaction=lambda x, rho: 1.0)
    run = jko.flow(F, jko.Density.uniform(grid, 0.0, 1.0), scheme, tau=0.05, n_steps=10, throw=False)
    assert run.final.mass == pytest.approx(np.exp(0.15), rel=1e-9)
    with pytest.raises(StepFailed, match=r"makes a mass of 1.2214, more than the 1.2"):
        jko.flow(F, run.final, scheme, tau=0.05, n_steps=1)


@pytest.mark.parametrize(("rate", "full"), [(1.0, 1.0), (1e3, 2e-4)])
@pytest.mark.parametrize("kind", ["rate", "functional"])
def test_logistic_growth_over_any_time(kind, rate, full):
    """Flat ρ′ = rρ(1 − ρ/K) from K/2 is K/(1 + e^{−rt}), in one step of any length."""
    grid = jko.Grid.uniform(0.0, 1.0, 6)
    start = jko.Density(grid, np.full(6, 0.5 * full))
    reaction = (lambda x, s: rate * (1.0 - s / full)) if kind == "rate" else rate * (
        0.5 / full * fn.Power(2.0) + fn.Potential(lambda x: -1.0 + 0.0 * x[0])
    )  # fmt: skip
    for time in (0.1, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1e4, 1e8, 1e12):
        scheme = limits.FiniteVolume(reaction=reaction)
        run = jko.flow(0.1 * fn.Entropy(), start, scheme, tau=time / rate, n_steps=1)
        np.testing.assert_allclose(run.final.values, full / (1.0 + np.exp(-time)), rtol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1.0, 1e4])
def test_cells_of_many_rates_each_follow_their_own(unit):
    """ρ′ = g in each cell alone: rates over nine decades, algebraic decay, another power, ρ log ρ, and two
    ends with a threshold between them, from densities over twelve decades."""
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), (5, 8))
    rates = 10.0 ** (-3.0 + 9.0 * grid.centers[..., 0])
    start = np.broadcast_to(10.0 ** np.linspace(-8.0, 4.0, 8), grid.cells)
    laws = {
        "logistic": (lambda s: 1.0 - s, lambda a, z: a / (a + (1.0 - a) * np.exp(-z))),
        "square": (lambda s: 1.0 - s**2, lambda a, z: a / np.sqrt(a**2 + (1.0 - a**2) * np.exp(-2.0 * z))),
        "decay": (lambda s: -s, lambda a, z: a / (1.0 + a * z)),
        "Gompertz": (lambda s: -jnp.log(s), lambda a, z: a ** np.exp(-z)),
    }
    for name, (g, exact) in laws.items():
        reaction = Reaction(lambda x, s, g=g: 10.0 ** (-3.0 + 9.0 * x[0]) * g(s / unit) / unit, grid, 1.0)
        for time in (1e-6, 1e-3, 1.0, 1e4, 1e12):
            after = reaction.evolve(jko.Density(grid, start * unit), 0.0, time * unit)[0].values / unit
            np.testing.assert_allclose(after, exact(start, rates * time), rtol=5e-6, err_msg=name)
    threshold = Reaction(lambda x, s: (s / unit - 0.3) * (1.0 - s / unit), grid, 1.0)
    after = threshold.evolve(jko.Density(grid, start * unit), 0.0, 50.0)[0].values / unit
    np.testing.assert_allclose(after[start > 0.3], 1.0, rtol=1e-6)
    np.testing.assert_allclose(after[start < 1e-3], (start * np.exp(-15.0))[start < 1e-3], rtol=3e-3)


@pytest.mark.slow
def test_cells_that_know_each_other_keep_the_tolerance():
    """g = −W∗ρ of a Gaussian kernel against scipy's integration of all cells together, at the tolerance that
    is said, over times in which no derivative of one cell is its own."""
    grid = jko.Grid.uniform(-2.0, 2.0, 24)
    start = jko.Density(grid, np.exp(-(grid.axes[0] ** 2)) + 0.2)
    G = fn.Interaction(lambda z: jnp.exp(-(z @ z))) + fn.Potential(lambda x: -1.0 + 0.2 * x[0])
    K = np.exp(-((grid.axes[0][:, None] - grid.axes[0]) ** 2)) * grid.cell_volume
    V = -1.0 + 0.2 * grid.axes[0]
    for time in (0.1, 3.0, 40.0):
        after, made, left = Reaction(G, grid, 1.0).evolve(start, 0.0, time)
        expected = scipy.integrate.solve_ivp(
            lambda t, y: -(K @ np.exp(y) + V),
            (0.0, time),
            np.log(start.values),
            "Radau",
            rtol=1e-10,
            atol=1e-12,
        )
        np.testing.assert_allclose(np.log(after.values), expected.y[:, -1], atol=1e-5, rtol=1e-5)
        assert after.mass == pytest.approx(start.mass + made - left, rel=1e-12)


@pytest.mark.parametrize("time", [1e3, 1e12])
@pytest.mark.parametrize(
    ("rate", "words"),
    [(1.0, "its growth has no bound"), (-1.0, "the reaction leaves no mass within"), (None, "has no bound")],
)
def test_reactions_without_a_later_density_say_so(rate, words, time):
    reaction = (lambda x, s: s) if rate is None else (lambda x, s: rate)
    with pytest.raises(StepFailed, match=words):
        jko.flow(
            fn.Entropy(), problems.density(1), limits.FiniteVolume(reaction=reaction), tau=2 * time, n_steps=1
        )


@pytest.mark.parametrize("time", [0.1, 3.0, 1e4, 1e12])
def test_growth_ends_at_its_cap_and_death_goes_on_over_any_time(time):
    """F = ∫Vρ under a cap c: each cell is min(c, ρ₀ e^{−Vt}) down to the least float."""
    grid = jko.Grid.uniform(0.0, 1.0, 10)
    x = grid.axes[0]
    F = fn.Potential(lambda x: x[0] - 0.5) + fn.Cap(1.2)
    after = Reaction(F, grid, 1.0).evolve(jko.Density(grid, 0.1 + 0.8 * x), 0.0, time)[0]
    expected = np.minimum(1.2, (0.1 + 0.8 * x) * np.exp(np.minimum((0.5 - x) * time, 100.0)))
    np.testing.assert_allclose(after.values, expected, rtol=1e-9, atol=1e-300)
