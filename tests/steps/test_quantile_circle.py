"""The quantile step on a circle: against the line where they agree, modes, laws at rest and in motion."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import i0, i1

import functionals as fn
from jko import Density, Grid, flow, steps
from jko.bounds import Space
from jko.errors import UnsupportedFunctional
from jko.sensitivity import value_and_gradient
from tests.steps.grid_steps import distance, take_step

TURN = 2.0 * np.pi


def circle(n, length=TURN, lower=0.0):
    return Grid.uniform(lower, lower + length, n, periodic=True)


def orders(errors):
    return -np.diff(np.log2(errors))


@pytest.mark.parametrize("unit", [1.0, 1e3])
@pytest.mark.parametrize(
    ("m", "shape"),
    [
        (1.0, lambda c: 1.0 + 0.6 * c),
        (2.0, lambda c: jnp.maximum(c + 0.7, 0.0)),  # whose fronts meet at half a turn
    ],
)
def test_even_data_move_as_between_walls(m, shape, unit):
    """Eight steps against the line's own on the half from 0 to L/2, twice as dense, on a fine grid."""

    def moved(grid, halves):
        energy = fn.Entropy() if m == 1.0 else fn.Power(m)
        F = (unit / halves) ** (m - 1.0) * energy + fn.Potential(lambda x: 0.5 * jnp.cos(x[0] / unit))
        mu = Density.from_function(grid, lambda x: shape(jnp.cos(x[0] / unit)))
        return flow(F, mu, steps.Quantile(), tau=0.2 * unit**2, n_steps=8)

    fine = moved(Grid.uniform(0.0, 0.5 * TURN * unit, 512), 2.0).final
    errors = []
    for n in (64, 128):
        run = moved(circle(n, TURN * unit), 1.0)
        half = 0.5 * fine.values.reshape(n // 2, -1).mean(1)
        errors.append(np.abs(run.final.values - np.append(half, half[::-1])).mean() * TURN * unit)
        assert {str(s) for s in run.info.status} == {"converged"}
        assert run.info.mass_error.max() < 1e-13
    assert run.measures[0].values.min() == 0.0 or m == 1.0
    assert run.final.values.min() > 0.01 / unit
    assert orders(errors)[-1] > 1.7
    assert errors[-1] < 1e-3


def test_in_an_arc_it_is_the_step_of_the_line():
    """A bump in a vacuum, astride the seam: the edges are those of the line."""
    line, bump = Grid.uniform(-1.0, 1.0, 80), (lambda r: np.maximum(0.1 - r**2, 0.0) * (1.0 + r))
    F = 0.02 * fn.Power(2.0)
    on_line = flow(F, Density(line, bump(line.axes[0])), steps.Quantile(), tau=0.1, n_steps=3)
    around = Density(circle(80, 2.0), np.roll(bump(line.axes[0]), 40))
    run = flow(F, around, steps.Quantile(), tau=0.1, n_steps=3)
    assert np.abs(np.roll(run.final.values, -40) - on_line.final.values).max() < 1e-11
    assert run.energy == pytest.approx(on_line.energy, rel=1e-12)
    assert run.info.gap == pytest.approx(on_line.info.gap, rel=1e-3, abs=1e-15)


@pytest.mark.slow
def test_it_turns_with_its_data():
    grid, rough = circle(60, lower=-1.0), np.random.default_rng(3).uniform(0.1, 1.0, 60)
    F = 0.3 * fn.Entropy() + fn.Interaction(lambda z: -jnp.cos(z[0]))
    found = [
        flow(F, Density(grid, np.roll(rough, k)), steps.Quantile(), tau=0.2, n_steps=3).final for k in (0, 23)
    ]
    assert np.abs(np.roll(found[0].values, 23) - found[1].values).max() < 1e-9


@pytest.mark.parametrize("background", [0.0, 1e-20, 0.01])
def test_equal_minima_turn_with_the_data(background):
    """However many cells are the emptiest ones: where the cells begin is told by the values."""
    values = np.full(60, background)
    values[[4, 10, 13, 44, 48, 58]] = 1.0
    found = [
        np.roll(flow(fn.Power(2.0), mu, steps.Quantile(), tau=1e-3, n_steps=2).final.masses, -k)
        for k in (0, 6, 23)
        for mu in (Density(circle(60, 1.0), np.roll(values, k)).normalized(),)
    ]
    assert np.abs(found - found[0]).sum(axis=1).max() < 1e-11


def test_a_kink_turns_with_the_data():
    """A potential with kinks, averaged near them, wherever the cells begin."""
    n, rough, found = 48, np.random.default_rng(5).uniform(0.1, 1.0, 48), []
    for k in (0, 11, 30):
        V = fn.Potential(lambda x, k=k: jnp.abs(jnp.sin(0.5 * (x[0] - k * TURN / n))))
        mu = Density(circle(n), np.roll(rough, k))
        run = flow(0.3 * fn.Power(0.6) + V, mu, steps.Quantile(), tau=0.02, n_steps=2)
        assert np.all(np.diff(run.energy) < 0.0)
        found.append(np.roll(run.final.values, -k))
    assert np.abs(found - found[0]).max() < 1e-6 * found[0].max()


def test_a_mode_decays_at_its_exact_rate():
    """Heat: order 1 in τ, and 2 of what is reflected or extrapolated, h halved with τ."""

    def error(n, scheme, number):
        wave = np.cos(circle(n).axes[0] - 0.3)
        run = flow(
            fn.Entropy(), Density(circle(n), 0.5 + 0.25 * wave), scheme, tau=1.0 / number, n_steps=number
        )
        return distance(run.final, Density(circle(n), 0.5 + 0.25 * np.exp(-1.0) * wave))

    assert orders([error(128, steps.Quantile(), 5 * 2**k) for k in range(3)]) == pytest.approx(1.0, abs=0.1)
    reflected = steps.SecondOrder(steps.Quantile(), plain_steps=0)
    for scheme in (reflected, steps.VariationalBDF2(steps.Quantile())):
        assert orders([error(32 * 2**k, scheme, 5 * 2**k) for k in range(3)])[-1] > 1.8


def test_von_mises_is_at_rest():
    """Entropy and −κ cos: e^{κ cos x}/2πI₀(κ), the centres' own to h²."""
    F, errors = fn.Entropy() + fn.Potential(lambda x: -2.0 * jnp.cos(x[0] - 0.4)), []
    for n in (128, 256):
        rest = np.exp(2.0 * np.cos(circle(n).axes[0] - 0.4)) / (TURN * i0(2.0))
        run = flow(F, Density(circle(n), np.full(n, 1.0 / TURN)), steps.Quantile(), tau=0.4, n_steps=30)
        errors.append(distance(run.final, Density(circle(n), rest)))
    assert orders(errors)[-1] == pytest.approx(2.0, abs=0.1)
    assert errors[-1] < 1e-3


@pytest.mark.slow
def test_kuramotos_branch():
    """Entropy − (K/2)∬cos(x − y), K = 3: r = I₁(Kr)/I₀(Kr) at rest, to h²."""
    r, errors = 0.5, []
    for _ in range(200):
        r = i1(3.0 * r) / i0(3.0 * r)
    F = fn.Entropy() + fn.Interaction(lambda z: -3.0 * jnp.cos(z[0]))
    for n in (32, 64):
        start = Density.from_function(circle(n), lambda x: jnp.exp(2.5 * jnp.cos(x[0] - 0.2)))
        run = flow(F, start, steps.Quantile(), tau=0.3, n_steps=30)
        errors.append(abs(abs(run.final.masses @ np.exp(1j * circle(n).axes[0])) - r))
    assert orders(errors) == pytest.approx(2.0, abs=0.1)
    assert errors[-1] < 6e-4


def turning(theta, kappa, speed, n):
    """What follows V = −κ cos(x − ct) at t = 0: θρ′ + (κ sin x + c)ρ is constant, by Fourier collocation."""
    x = circle(n).axes[0]
    apart = np.subtract.outer(np.arange(n), np.arange(n))
    D = np.where(
        apart == 0, 0.0, 0.5 * (-1.0) ** apart / np.tan(np.where(apart == 0, 1.0, apart * np.pi / n))
    )
    return Density(
        circle(n), np.linalg.solve(theta * D + np.diag(kappa * np.sin(x) + speed), np.ones(n))
    ).normalized()


@pytest.mark.slow
def test_what_follows_a_turning_trap():
    """Led once round the circle, order 2 with τ and h together."""
    theta, kappa, speed = 0.5, 1.0, 0.6
    F, errors = theta * fn.Entropy() + fn.Potential(lambda x, t: -kappa * jnp.cos(x[0] - speed * t)), []
    for n in (48, 96):
        start = turning(theta, kappa, speed, n)
        scheme = steps.SecondOrder(steps.Quantile(), plain_steps=0)
        run = flow(F, start, scheme, tau=TURN / speed / n, n_steps=n)
        errors.append(distance(run.final, start))
    assert orders(errors)[-1] == pytest.approx(2.0, abs=0.1)
    assert errors[-1] < 8e-3


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_against_back_and_forth(unit):
    """Two bumps of porous medium, one drawn across the seam, in two units."""

    def bumps(x):
        return jnp.maximum(0.4 + jnp.cos(x[0] / unit - 0.5), 0.0) + jnp.maximum(
            jnp.cos(x[0] / unit - 4.0) - 0.3, 0.0
        )

    mu = Density.from_function(circle(256, TURN * unit), bumps)
    F = unit * fn.Power(2.0) + fn.Potential(lambda x: -jnp.cos(x[0] / unit + 0.5))
    new, info = take_step(steps.Quantile(), F, mu, 0.3 * unit**2)
    other, _ = take_step(steps.BackAndForth(), F, mu, 0.3 * unit**2)
    assert info.converged
    assert info.relative_gap < 1e-9
    assert distance(new, other) < 2e-3
    assert distance(new, mu) > 0.1


def test_no_bound_is_claimed_where_none_is_proven():
    mu = Density.uniform(circle(16))
    assert steps.Quantile().space_of_steps(steps.Quantile().prepare(fn.Entropy(), mu), mu) is Space.NONE


@pytest.mark.parametrize(
    ("F", "said"),
    [
        (fn.Potential(lambda x: jnp.cos(x[0])), "an internal energy and no cap, got none"),
        (fn.Entropy() + fn.Cap(1.0), "an internal energy and no cap, got"),
        (fn.Entropy() + fn.Potential(lambda x: x[0]), "potentials that are periodic"),
        (fn.Entropy() + fn.Interaction("quadratic"), "half a turn apart"),
        (fn.Entropy() + fn.Interaction(lambda z: jnp.abs(z[0])), "points meet"),
    ],
)
def test_what_it_does_not_take(F, said):
    with pytest.raises(UnsupportedFunctional, match=said):
        steps.Quantile().prepare(F, Density.uniform(circle(16)))


def test_other_refusals():
    mu, concave = Density.uniform(circle(16)), fn.Entropy() + fn.Potential(lambda x: jnp.cos(x[0]))
    with pytest.raises(ValueError, match="take less than 1"):
        flow(concave, mu, steps.Quantile(), tau=2.0, n_steps=1)
    wall = fn.Entropy() + fn.Potential(lambda x: jnp.where(jnp.abs(x[0] - 1.0) < 0.5, jnp.inf, 0.0))
    with pytest.raises(ValueError, match=r"not finite in 3 cells of \[0, "):
        steps.Quantile().prepare(wall, mu)
    run = flow(fn.Entropy(), mu, steps.Quantile(), time=0.1, accuracy=0.1)
    assert "no bound is proven on a circle" in run.attributes["accuracy_note"]
    with pytest.raises(ValueError, match="the square of the distance on a circle"):
        steps.Quantile(cost_exponent=3.0).prepare(fn.Entropy(), mu)
    with pytest.raises(UnsupportedFunctional, match="a periodic grid"):
        value_and_gradient(
            lambda m: m.mass,
            lambda p: p["a"] * fn.Entropy(),
            {"a": 1.0},
            mu,
            steps.Quantile(),
            tau=0.1,
            n_steps=1,
        )
