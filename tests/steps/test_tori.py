"""Exact grid steps on tori: against the box where they must agree, modes, Kuramoto's branch, and what is
refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import i0, i1

import functionals as fn
from jko import Density, Grid, flow, steps
from jko.bounds import Space
from tests.first_step import first_step
from tests.steps.grid_steps import distance, take_step

LENGTH = 2.0
SCHEMES = [steps.BackAndForth, steps.MongeAmpere]


def torus(*cells, length=LENGTH, periodic=True):
    return Grid.uniform((0.0,) * len(cells), (length,) * len(cells), cells, periodic)


def bump(grid, centre, sharpness=2.0):
    """A wrapped bump, so that it turns exactly with its centre."""
    angles = (grid.centers - centre) * (2.0 * np.pi / LENGTH)
    return Density(grid, np.exp(sharpness * np.cos(angles).sum(axis=-1))).normalized()


def pull(z):
    return -0.2 * jnp.sum(jnp.cos(jnp.pi * z))


@pytest.mark.parametrize("shape", [(96,), (40, 36), (16, 16, 18)])
@pytest.mark.parametrize(
    ("scheme", "most"), [(steps.BackAndForth(), 1e-6), (steps.MongeAmpere(tolerance=1e-11), 1e-6)]
)
def test_it_turns_with_its_data(shape, scheme, most):
    grid, half = torus(*shape), 0.5 * LENGTH
    F = fn.Entropy() + fn.Interaction(pull)
    centres = half, np.array([half + half] + [half] * (len(shape) - 1))
    found = [flow(F, bump(grid, centre), scheme, tau=0.02, n_steps=2) for centre in centres]
    turned = np.roll(found[0].final.values, shape[0] // 2, 0)
    assert np.abs(turned - found[1].final.values).max() < most * turned.max()
    assert np.all(np.diff(found[1].energy) < 0.0)
    assert found[1].info.mass_error.max() < 1e-12
    assert found[1].info.dissipation.min() > 0.0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_away_from_the_seam_it_is_the_step_of_the_box(scheme):
    """A bump of std L/25 in the plane, then the same astride both seams."""
    box, grid, turn = Grid.uniform((0.0, 0.0), (LENGTH, LENGTH), (96, 96)), torus(96, 96), (48, 48)
    mu = Density.gaussian(box, mean=(1.0, 1.0), std=0.08)
    seam = Density(grid, np.roll(mu.values, turn, (0, 1)))
    inside, across = (flow(fn.Entropy(), m, scheme(), tau=0.003, n_steps=2) for m in (mu, seam))
    back = np.roll(across.final.values, (-48, -48), (0, 1))
    most = 0.0 if scheme is steps.MongeAmpere else 1e-6
    assert np.abs(back - inside.final.values).max() <= most * back.max()
    assert across.info.transport_cost == pytest.approx(inside.info.transport_cost, rel=1e-6)


def narrow(grid):
    """A bump of std .06 in the middle of [0, 1]^d, e⁻³⁴ of its top at the ends, in the grid's units."""
    unit = grid.upper[0]

    def values(x):
        return jnp.exp(-0.5 * jnp.sum((x / unit - 0.5) ** 2) / 0.06**2)

    return Density.from_function(grid, values).normalized()


def out(x):
    return 0.5 * jnp.cos(2.0 * jnp.pi * (x[0] - 0.5))


@pytest.mark.parametrize("cells", [(100,), (48, 40)])
@pytest.mark.parametrize(
    ("rest", "rounding"),
    [
        (fn.Potential(out), 0.0),
        (fn.Potential(lambda x: -2.0 * out(x)), 0.0),
        (fn.Interaction(lambda z: 1.5 * (1.0 - jnp.cos(2.0 * jnp.pi * z[0]))), 1e-12),
    ],
)
def test_far_tails_that_come_to_the_seam_keep_the_step_of_the_box(rest, rounding, cells):
    """To e⁻²³ of the top after the step; the gap is that of the box and what crossing would save."""
    F, made = 0.5 * fn.Entropy() + rest, []
    for periodic in (False, True):
        grid = torus(*cells, length=1.0, periodic=periodic)
        made.append(take_step(steps.MongeAmpere(), F, narrow(grid), 2e-3))
    (box, told), (new, info) = made
    assert new.values[0].max() > np.exp(-25.0) * new.values.max()
    assert np.abs(new.values - box.values).max() <= rounding * box.values.max()
    assert told.gap <= info.gap < 1.001 * told.gap
    assert info.details.get("passes") == told.details.get("passes")


@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_mass_that_comes_to_the_seam_moves_as_between_walls(unit):
    """Even data against the quantile step on the half of them, at 4e-3 of the top at the seam."""
    F, line = 0.5 * fn.Entropy() + fn.Potential(lambda x: out(x / unit)), Grid.uniform(0.5 * unit, unit, 1600)
    fine, _, _ = first_step(steps.Quantile(), F, narrow(line), 0.02 * unit**2)
    new, info = take_step(steps.MongeAmpere(), F, narrow(torus(100, length=unit)), 0.02 * unit**2)
    half = 0.5 * fine.values.reshape(50, -1).mean(1)
    assert info.converged
    assert np.abs(new.values[50:] - half).sum() * new.grid.cell_volume < 4e-4
    assert new.values[0] > 4e-3 * new.values.max()


def test_mass_that_crosses_the_seam_is_no_step_of_the_box():
    """Pulled round the torus, against `BackAndForth`, which knows no cut."""
    F = 0.5 * fn.Entropy() + fn.Potential(lambda x: -3.0 * jnp.cos(2.0 * jnp.pi * (x[0] - 0.15)))
    grids = [torus(200, length=1.0, periodic=p) for p in (True, True, False)]
    schemes = steps.MongeAmpere(), steps.BackAndForth(), steps.MongeAmpere()
    new, exact, box = (take_step(s, F, narrow(g), 0.03)[0] for s, g in zip(schemes, grids, strict=True))
    assert distance(new, exact) < 8e-3
    assert np.abs(box.values - exact.values).mean() > 0.03


@pytest.mark.parametrize(("scheme", "most"), [(steps.BackAndForth(), 3e-4), (steps.MongeAmpere(1e-10), 1e-4)])
@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_even_data_move_as_between_walls(scheme, most, unit):
    """A density that is even about 0 and L/2 moves on the circle as its half does between walls there:
    against the quantile step on a fine line, in two units of length."""
    tau = 0.02 * unit**2
    line = Grid.uniform(0.0, 0.5 * LENGTH * unit, 1024)

    def wave(grid):
        return Density.from_function(grid, lambda x: 1.0 + 0.6 * jnp.cos(2.0 * jnp.pi * x[0] / LENGTH / unit))

    F = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.cos(4.0 * jnp.pi * x[0] / LENGTH / unit))
    fine, _, _ = first_step(steps.Quantile(), F, wave(line), tau)
    errors = []
    for n in (32, 64, 128):
        new, _ = take_step(scheme, F, wave(torus(n, length=LENGTH * unit)), tau)
        half = 0.5 * fine.values.reshape(n // 2, -1).mean(1)
        errors.append(np.abs(new.values - np.append(half, half[::-1])).sum() * new.grid.cell_volume)
    assert errors[-1] < most
    if isinstance(scheme, steps.MongeAmpere):
        assert np.diff(np.log2(errors)) == pytest.approx(-2.0, abs=0.15)


@pytest.mark.slow
def test_a_mode_decays_at_its_exact_rate():
    """Heat on a circle, ρ = (1 + ½e^{−π²t} cos πx)/2: order 1 in τ, and 2 of the reflected steps with h."""
    rate, time, first, second = np.pi**2, 0.1, [], []

    def error(n, scheme, number):
        grid = torus(n)
        wave = np.cos(np.pi * (grid.axes[0] - 0.3))
        run = flow(fn.Entropy(), Density(grid, 0.5 + 0.25 * wave), scheme, tau=time / number, n_steps=number)
        exact = Density(grid, 0.5 + 0.25 * np.exp(-rate * time) * wave)
        return distance(run.final, exact)

    first = [error(128, steps.MongeAmpere(), 5 * 2**k) for k in range(4)]
    assert np.diff(np.log2(first)) == pytest.approx(-1.0, abs=0.08)
    reflected = steps.SecondOrder(steps.MongeAmpere(), plain_steps=0)
    second = [error(32 * 2**k, reflected, 5 * 2**k) for k in range(3)]
    assert np.diff(np.log2(second)) == pytest.approx(-2.0, abs=0.05)
    assert second[-1] < 5e-5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_axis_of_a_plane_is_the_circle(scheme):
    line, plane = torus(64), torus(64, 12, periodic=(True, False))
    F, mu = fn.Entropy() + fn.Potential(lambda x: 0.3 * jnp.sin(jnp.pi * x[0])), bump(torus(64), 0.1)
    flat = Density(plane, np.repeat(mu.values[:, None] / LENGTH, 12, axis=1))
    alone, _ = take_step(scheme(), F, mu, 0.05)
    wide, _ = take_step(scheme(), F, flat, 0.05)
    assert np.abs(LENGTH * wide.values - alone.values[:, None]).max() < 2e-3 * alone.values.max()
    walls, _ = take_step(scheme(), F, Density(Grid.uniform(0.0, LENGTH, 64), mu.values), 0.05)
    assert np.abs(walls.values - alone.values).max() > 1e-2
    assert line == alone.grid


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fronts_cross_the_seam(scheme):
    """Porous media astride the seam, with vacuum and in two parts: as in the middle, to the grid's error."""
    grid, found = torus(128), []
    for shift in (0, 64):
        away = np.mod(grid.axes[0] + 1.0, 2.0) - 1.0  # from the seam
        parts = np.maximum(0.04 - (np.abs(away) - 0.4) ** 2, 0.0) * (1.0 + 0.5 * np.sign(away))
        mu = Density(grid, np.roll(parts, shift)).normalized()
        new, info = take_step(scheme(), fn.Power(2.0), mu, 2e-3)
        assert info.converged
        masses = [np.roll(m.values, -shift)[:64].sum() / m.values.sum() for m in (mu, new)]
        assert masses[1] == pytest.approx(masses[0], abs=1e-6)
        found.append(np.roll(new.values, -shift))
    assert np.abs(found[0] - found[1]).max() < 2e-3 * found[0].max()


@pytest.mark.slow
def test_kuramotos_branch():
    """Entropy − (K/2)∬cos(x − y), K = 3: the flow comes to r = I₁(Kr)/I₀(Kr)."""
    coupling, r = 3.0, 0.5
    for _ in range(200):
        r = i1(coupling * r) / i0(coupling * r)
    grid = Grid.uniform(0.0, 2.0 * np.pi, 64, periodic=True)
    F = fn.Entropy() + fn.Interaction(lambda z: -coupling * jnp.cos(z[0]))
    start = Density.from_function(grid, lambda x: jnp.exp(2.5 * jnp.cos(x[0] - 0.2)))
    for scheme in SCHEMES:
        run = flow(F, start, scheme(), tau=0.5, n_steps=16)
        ends = [abs(m.masses @ np.exp(1j * grid.axes[0])) for m in (start, run.final)]
        assert abs(ends[1] - r) < 1e-4
        assert abs(ends[0] - r) > 0.01


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_bound_is_claimed_where_none_is_proven(scheme):
    mu = bump(torus(32), 1.0)
    problem = scheme().prepare(fn.Entropy(), mu)
    assert scheme().space_of_steps(problem, mu) is Space.NONE


def test_rooms_on_a_torus_are_refused():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), 16, periodic=True, inside=lambda x: x[0] < 0.5)
    with pytest.raises(ValueError, match="takes obstacles and rooms in a box"):
        steps.BackAndForth().prepare(fn.Entropy(), Density.uniform(grid))
    with pytest.raises(ValueError, match="does not take a room"):
        steps.MongeAmpere().prepare(fn.Entropy(), Density.uniform(grid))


def test_the_step_of_monge_ampere_has_its_derivative_on_a_torus():
    """Against central differences of runs solved to rounding, of a bump astride the seams."""
    from jko.errors import UnsupportedFunctional
    from jko.sensitivity import value_and_gradient

    def make(p):
        return p["theta"] * fn.Entropy() + p["height"] * fn.Potential(lambda x: jnp.sum(jnp.sin(jnp.pi * x)))

    def loss(mu):
        return mu.integrate(lambda x: jnp.cos(jnp.pi * x[0]) + jnp.sin(jnp.pi * x[1]))

    mu, scheme, p = (
        bump(torus(24, 20), 0.1),
        steps.MongeAmpere(tolerance=1e-13),
        {"theta": 0.8, "height": 0.3},
    )
    found = value_and_gradient(loss, make, p, mu, scheme, tau=0.03, n_steps=2)

    def value(name, by):
        return float(loss(flow(make({**p, name: p[name] + by}), mu, scheme, tau=0.03, n_steps=2).final))

    for name in p:
        difference = (value(name, 1e-4) - value(name, -1e-4)) / 2e-4
        assert found.gradient[name] == pytest.approx(difference, rel=1e-4)
    with pytest.raises(UnsupportedFunctional, match="a periodic grid"):
        value_and_gradient(loss, make, p, mu, steps.BackAndForth(), tau=0.03, n_steps=2)
