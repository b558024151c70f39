"""Mobilities and matrix metrics: exclusion, powers, traffic without diffusion, Fokker–Planck in a metric."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.optimize import brentq

import functionals as fn
import jko

FV = jko.limits.FiniteVolume
long = pytest.mark.long
EXCLUSION = FV(mobility="exclusion")


def orders(errors):
    return np.log2(np.array(errors[:-1]) / errors[1:])


def distance(rho, exact):
    return np.abs(rho.values - exact).sum() * rho.grid.cell_volume


# --- exclusion -------------------------------------------------------------------------------------------

HALF = 2.5


def well(x):
    """An off-centre bowl; in the plane not the sum of two."""
    return 1.6 * jnp.sum(x**2) + 0.5 * x[0] + (0.4 * x[0] * x[1] if x.size > 1 else 0.0)


def start_values(*x):
    return 0.3 + 0.25 * np.prod([np.cos(np.pi * (a + 0.3 * HALF) / HALF) for a in x], axis=0)


def by_lines(n, duration, dimension):
    """∂_tρ = Δρ + ∇·(ρ(1 − ρ)∇V) by centred differences of its own and a solver of scipy, on n cells."""
    h = 2.0 * HALF / n
    axis = -HALF + h * (np.arange(n) + 0.5)
    x = np.meshgrid(*[axis] * dimension, indexing="ij")
    slopes = [3.2 * a for a in x]
    slopes[0] = slopes[0] + 0.5
    if dimension == 2:
        slopes = [slopes[0] + 0.4 * x[1], slopes[1] + 0.4 * x[0]]

    def rate(t, flat):
        rho = flat.reshape([n] * dimension)
        total = np.zeros_like(rho)
        for a in range(dimension):
            low, high = ((*[slice(None)] * a, side) for side in (slice(None, -1), slice(1, None)))
            middle, slope = 0.5 * (rho[low] + rho[high]), 0.5 * (slopes[a][low] + slopes[a][high])
            flux = (rho[high] - rho[low]) / h + middle * (1.0 - middle) * slope
            total[low] += flux / h
            total[high] -= flux / h
        return total.ravel()

    options = {"method": "LSODA", "lband": 1, "uband": 1} if dimension == 1 else {"method": "RK45"}
    found = solve_ivp(rate, (0.0, duration), start_values(*x).ravel(), rtol=1e-8, atol=1e-10, **options)
    return found.y[:, -1].reshape([n] * dimension)


def coarse(values, n):
    """Means over blocks, n along each axis."""
    for axis in range(values.ndim):
        shape = values.shape
        values = values.reshape(*shape[:axis], n, shape[axis] // n, *shape[axis + 1 :]).mean(axis + 1)
    return values


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dimension", "cells", "fine", "duration"),
    [(1, (40, 80), 320, 0.3), pytest.param(2, (24, 48), 96, 0.1, marks=long)],
)
@pytest.mark.parametrize(("length", "cap"), [(1.0, 1.0), pytest.param(1e3, 2e-4, marks=long)])
def test_exclusion_against_its_equation(dimension, cells, fine, duration, length, cap):
    """In other units too: lengths × 10³, densities × 2·10⁻⁴, hence times × 10⁶."""
    exact = [by_lines(n, duration, dimension) for n in (fine // 2, fine)]
    axis = -HALF + 2.0 * HALF / 960 * (np.arange(960) + 0.5)
    begin = start_values(*np.meshgrid(*[axis] * dimension, indexing="ij"))
    F = fn.FermiDirac(cap) + fn.Potential(lambda x: well(x / length))
    errors = []
    for n in cells:
        half = np.full(dimension, HALF * length)
        grid = jko.Grid.uniform(tuple(-half), tuple(half), (n,) * dimension)
        start, steps = jko.Density(grid, cap * coarse(begin, n)), n // 4
        scheme, tau = FV(mobility=jko.Exclusion(cap)), duration * length**2 / steps
        run = jko.flow(F, start, scheme, tau=tau, n_steps=steps)
        extrapolated = (4.0 * coarse(exact[1], n) - coarse(exact[0], n)) / 3.0
        errors.append(np.abs(run.final.values / cap - extrapolated).mean())
        assert np.all(np.diff(run.energy) < 0.0)
        assert abs(run.final.mass / start.mass - 1.0) < 1e-13
    assert np.all(orders(errors) > 1.85), errors
    assert errors[-1] < (3e-4 if dimension == 1 else 1e-3)


@long
def test_the_order_in_tau_alone():
    F = fn.FermiDirac() + fn.Potential(well)
    grid = jko.Grid.uniform(-HALF, HALF, 40)
    start = jko.Density(grid, start_values(grid.axes[0]))
    finals = [
        jko.flow(F, start, FV(mobility="exclusion"), tau=0.4 / n, n_steps=n).final.values
        for n in (4, 8, 16, 128)
    ]
    found = orders([np.abs(a - finals[-1]).max() for a in finals[:-1]])
    assert np.all(found > 1.8), found


@pytest.mark.slow
def test_steep_tails_do_not_cost_the_order():
    """Where the second stage's base is negative in a tail of 1e-20 its fluxes are limited, there alone."""
    grid = jko.Grid.uniform(-2.0, 2.0, 40)
    x = grid.axes[0]
    start = jko.Density(grid, 0.9 / (1.0 + np.exp(10.0 * (np.abs(x + 0.9) - 0.8))))
    F = 0.12 * fn.FermiDirac() + fn.Potential(lambda x: (x[0] ** 2 - 1.0) ** 2 + 0.25 * x[0])
    runs = [jko.flow(F, start, EXCLUSION, tau=0.4 / n, n_steps=n) for n in (4, 8, 32)]
    finals = [run.final.values for run in runs]
    assert min(values.min() for values in finals) < 1e-15
    assert all(set(run.info.note) == {""} for run in runs)
    found = orders([np.abs(values - finals[-1]).max() for values in finals[:-1]])
    assert np.all(found > 1.6), found


@pytest.mark.parametrize(("dimension", "cap"), [(1, 1.0), (2, 0.3)])
def test_exclusion_rests_at_fermis_law(dimension, cap):
    """ρ = cap/(1 + e^{V − μ}), from a box of density cap and 0."""
    cells, stiffness = {1: (60, 6.0), 2: (20, 4.0)}[dimension]
    grid = jko.Grid.uniform((-2.0,) * dimension, (2.0,) * dimension, (cells,) * dimension)
    V = 0.5 * stiffness * np.sum(grid.centers**2, axis=-1)
    start = jko.Density(grid, np.where(np.abs(grid.centers - 0.4).max(axis=-1) < 0.9, cap, 0.0))
    F = fn.FermiDirac(cap) + fn.Potential("quadratic", stiffness=stiffness)
    run = jko.flow(F, start, FV(mobility=jko.Exclusion(cap)), tau=8.0, n_steps=12)

    def law(mu):
        return cap / (1.0 + np.exp(V - mu))

    mu = brentq(lambda mu: law(mu).sum() * grid.cell_volume - start.mass, -30.0, 60.0, xtol=1e-14)
    # F is flat there: its rounding of 1e-14 is 1e-8 of a density
    assert np.abs(run.final.values - law(mu)).max() < 3e-8 * cap
    for measure in run.measures:
        assert measure.values.min() >= 0.0
        assert measure.values.max() <= cap
    assert np.all(np.diff(run.energy) <= 0.0)


@pytest.mark.parametrize(
    ("tau", "attraction"),
    [(1e-3, 0.0), (1e-3, 3.0), pytest.param(10.0, 0.0, marks=long), pytest.param(10.0, 3.0, marks=long)],
)
def test_bounds_and_decay_from_rough_data(tau, attraction):
    """Cells at 0, at 1 and between; with an attraction that alone would pile them up."""
    grid = jko.Grid.uniform(-2.0, 2.0, 40, periodic=True)
    values = np.clip(np.random.default_rng(3).uniform(-0.5, 1.5, 40), 0.0, 1.0)
    F = 0.1 * fn.FermiDirac() + fn.Potential(lambda x: jnp.sin(0.5 * jnp.pi * x[0]))
    if attraction:
        F = F + fn.Interaction("gaussian", strength=-attraction, width=0.6)
    run = jko.flow(F, jko.Density(grid, values), FV(mobility=lambda s: s * (1.0 - s)), tau=tau, n_steps=3)
    assert run.final.values.min() >= 0.0
    assert run.final.values.max() <= 1.0
    assert np.all(np.diff(run.energy) < 0.0)
    assert abs(run.final.mass / run.measures[0].mass - 1.0) < 1e-13


def test_exclusion_in_a_room_fills_what_can_be_reached():
    """Two chambers and a door between them, at rest with one μ in both."""
    grid = jko.Grid.uniform(
        (0.0, 0.0),
        (2.0, 1.0),
        (24, 12),
        inside=lambda x: jnp.maximum(jnp.abs(x[0] - 1.0) - 0.1, 0.2 - jnp.abs(x[1] - 0.5)),
    )
    start = jko.Density(grid, np.where(grid.inside & (grid.centers[..., 0] < 0.9), 0.8, 0.0))
    F = fn.FermiDirac() + fn.Potential("linear", slope=(1.0, 0.0))
    run = jko.flow(F, start, FV(mobility="exclusion"), tau=2.0, n_steps=12)
    rho, x = run.final.values[grid.inside], grid.centers[grid.inside][:, 0]
    level = np.log(rho / (1.0 - rho)) + x
    # a step that lowers F by rounding alone is not taken: 1e-14 of F's terms, 3, at .2 δ² above rest
    assert np.ptp(level) < 4e-7
    assert np.all(run.final.values[~grid.inside] == 0.0)


# --- other mobilities ------------------------------------------------------------------------------------


@long
@pytest.mark.parametrize("length", [1.0, 50.0])
def test_a_root_as_mobility_with_its_own_energy_is_the_heat_equation(length):
    """M = √ρ and U″ = 1/√ρ: U = 4ρ^{3/2}/3; a Gaussian's variance is s₀² + 2t."""
    errors = []
    for n in (40, 80, 160):
        grid = jko.Grid.uniform(-9.0 * length, 9.0 * length, n)
        start = jko.Density.gaussian(grid, 0.0, std=length)
        tau = length**2 / (n // 8)
        run = jko.flow(fn.Power(1.5) * (2.0 / 3.0), start, FV(mobility=jnp.sqrt), tau=tau, n_steps=n // 8)
        errors.append(distance(run.final, jko.Density.gaussian(grid, 0.0, std=np.sqrt(3.0) * length).values))
        assert run.final.values.min() > 0.0
    assert np.all(orders(errors) > 1.8), errors
    assert errors[-1] < 1e-3


@long
def test_a_convex_mobility_with_fronts_is_a_porous_medium():
    """M = ρ² and U = ρ²: ∂_tρ = (2/3)Δρ³, Barenblatt's profile in time 2t/3; a front is of order 1."""
    exact = jko.exact.Barenblatt(3.0, start_time=0.3)
    errors = []
    for n in (80, 160, 320):
        steps = n // 8
        grid = jko.Grid.uniform(-2.5, 2.5, n)
        start = exact.on(grid, 0.0)
        run = jko.flow(fn.Power(2.0), start, FV(mobility=lambda s: s**2), tau=0.75 / steps, n_steps=steps)
        errors.append(distance(run.final, exact.on(grid, 0.5).values))
        assert np.all(np.diff(run.energy) < 0.0)
    assert np.all(orders(errors) > 0.9), errors
    assert errors[-1] < 6e-3


@long
def test_without_diffusion_traffic_has_its_entropy_solutions():
    """∂_tρ + ∂(ρ(1 − ρ)) = 0 of Lighthill and Whitham: the end of a queue moves as a shock at 1 − a − b,
    and a queue that has started is (1 − x/t)/2. Fluxes of order 1; the corners of a fan cost a little."""

    def shock(x, t):
        return np.where(x < 0.3 * t, 0.1, 0.6)

    def fan(x, t):
        return np.clip(0.5 * (1.0 - x / (t + 0.4)), 0.0, 1.0)

    for exact, least in ((shock, 0.95), (fan, 0.8)):
        errors = []
        for n in (50, 100, 200):
            grid = jko.Grid.uniform(-2.0, 2.0, n)
            x, steps = grid.axes[0], n // 4
            start = jko.Density(grid, exact(x, 0.0))
            drift = fn.Potential("linear", slope=-1.0)
            run = jko.flow(drift, start, FV(mobility="exclusion"), tau=0.8 / steps, n_steps=steps)
            inner = np.abs(x) < 1.0
            errors.append(np.abs(run.final.values - exact(x, 0.8))[inner].sum() * grid.cell_volume)
            assert np.all(np.diff(run.energy) < 0.0)
            assert 0.0 <= run.final.values.min() <= run.final.values.max() <= 1.0
        assert np.all(orders(errors) > least), errors


@pytest.mark.slow
def test_a_queue_that_starts_from_full_to_empty_is_no_standing_jump():
    """M is 0 on both sides and ¼, the most that a road carries, between them."""
    grid = jko.Grid.uniform(-2.0, 2.0, 100)
    x = grid.axes[0]
    start = jko.Density(grid, np.where(x < 0.0, 1.0, 0.0))
    run = jko.flow(fn.Potential("linear", slope=-1.0), start, FV(mobility="exclusion"), tau=0.02, n_steps=40)
    over = run.final.values[x > 0.0].sum() * grid.cell_volume
    assert over == pytest.approx(0.25 * 0.8, rel=0.02)


# --- matrix metrics --------------------------------------------------------------------------------------

THETA, K = 0.6, np.array([[1.0, 0.3], [0.3, 0.6]])
OBLIQUE = np.array([[1.0, 0.7], [0.7, 0.8]])


def linear_law(A, t, m0, S0):
    """Mean and covariance at t of dX = −AKX dt + √(2θA) dB, by exponentials alone."""
    E, rest = expm(-t * A @ K), THETA * np.linalg.inv(K)
    return E @ m0, rest + E @ (S0 - rest) @ E.T


@pytest.mark.parametrize(
    ("A", "length"),
    [
        pytest.param(OBLIQUE, 1.0, marks=long),
        pytest.param(np.diag([2.0, 0.3]), 1.0, marks=long),
        pytest.param(OBLIQUE, 1e-3, marks=long),
    ],
)
def test_quadratic_potentials_keep_gaussians_in_a_constant_metric(A, length):
    """On a grid of other spacings along the axes; times in length², A a pure number."""
    m0, S0, t = np.array([0.8, -0.5]), np.array([[0.5, -0.2], [-0.2, 0.4]]), 0.5
    mean, covariance = linear_law(A, t, m0, S0)
    F = THETA * fn.Entropy() + fn.Potential(lambda x: 0.5 * x @ jnp.asarray(K) @ x / length**2)
    errors = []
    for n in (24, 48):
        grid = jko.Grid.uniform((-4.5 * length, -5.5 * length), (4.5 * length, 5.5 * length), (n, n))
        start = jko.Gaussian(m0 * length, S0 * length**2).on(grid)
        run = jko.flow(F, start, FV(metric=A), tau=t * length**2 / (n // 4), n_steps=n // 4)
        exact = jko.Gaussian(mean * length, covariance * length**2).on(grid)
        errors.append(distance(run.final, exact.values))
        assert np.all(np.diff(run.energy) < 0.0)
        assert run.final.values.min() >= 0.0
    assert orders(errors)[0] > 1.8, errors
    np.testing.assert_allclose(run.final.mean() / length, mean, atol=3e-3)
    np.testing.assert_allclose(run.final.covariance() / length**2, covariance, atol=8e-3)


RATE, BENT = 3.0, 0.1


def pearson(d, bent=BENT):
    """(F, A) with A = 1 + bent xxᵀ and A∇V − ∇·A = RATE x for θ = 1: the mean falls at the rate, and
    d/dt E[xxᵀ] = −2 RATE E[xxᵀ] + 2(1 + bent E[xxᵀ])."""
    power = (RATE + bent * (d + 1.0)) / (2.0 * bent)
    V = fn.Potential(lambda x: power * jnp.log(1.0 + bent * jnp.sum(x**2)))
    return fn.Entropy() + V, lambda x: jnp.eye(x.size, dtype=x.dtype) + bent * jnp.outer(x, x)


def pearson_moments(t, mean, second, bent=BENT):
    rest = np.eye(len(mean)) / (RATE - bent)
    return np.exp(-RATE * t) * mean, rest + np.exp(-2.0 * (RATE - bent) * t) * (second - rest)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "cells"), [(1, (50, 100)), pytest.param(2, (40, 80), marks=long)])
def test_the_moments_in_a_metric_of_the_place(d, cells):
    F, A = pearson(d)
    t, mean = 0.3, np.array([0.6, -0.4])[:d]
    errors = []
    for n in cells:
        grid = jko.Grid.uniform((-3.6,) * d, (3.6,) * d, (n,) * d)
        start = jko.Gaussian(mean, 0.3 * np.eye(d)).on(grid)
        run = jko.flow(F, start, FV(metric=A), tau=t / (n // 4), n_steps=n // 4)
        found, m0 = run.final, start.mean()
        exact = pearson_moments(t, m0, start.covariance() + np.outer(m0, m0))
        second = found.covariance() + np.outer(found.mean(), found.mean())
        errors.append(np.abs(found.mean() - exact[0]).max() + np.abs(second - exact[1]).max())
        assert np.all(np.diff(run.energy) < 0.0)
    assert orders(errors)[0] > 1.7, errors
    assert errors[-1] < 6e-4


def test_any_metric_rests_at_gibbs():
    """e^{−V}, in a metric that turns with the place, on a torus along one axis."""

    def turning(x):
        c, s = jnp.cos(x[0]), jnp.sin(x[0])
        turn = jnp.array([[c, -s], [s, c]])
        return turn @ jnp.diag(jnp.array([1.0, 0.05])) @ turn.T

    grid = jko.Grid.uniform((0.0, -2.0), (2.0 * np.pi, 2.0), (24, 16), periodic=(True, False))
    F = fn.Entropy() + fn.Potential(lambda x: jnp.sin(x[0]) + x[1] ** 2)
    start = jko.Density(grid, np.ones(grid.cells)).normalized()
    run = jko.flow(F, start, FV(metric=turning), tau=20.0, n_steps=10)
    gibbs = np.exp(-np.sin(grid.centers[..., 0]) - grid.centers[..., 1] ** 2)
    np.testing.assert_allclose(run.final.values, gibbs / (gibbs.sum() * grid.cell_volume), rtol=1e-6)


@long
def test_the_plain_metric_is_the_plain_flow():
    """A = 1 and M = ρ against the engine without them, which has other fluxes of order 2."""
    grid = jko.Grid.uniform(-4.0, 4.0, 160)
    start = jko.Density.gaussian(grid, 0.5, std=0.6)
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=1.0)
    plain = jko.flow(F, start, FV(), tau=0.02, n_steps=20).final
    for scheme in (FV(metric=[[1.0]]), FV(mobility=lambda s: s), FV(metric=lambda x: jnp.ones((1, 1)))):
        assert distance(jko.flow(F, start, scheme, tau=0.02, n_steps=20).final, plain.values) < 4e-4


def turned(ratio):
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s], [s, c]])
    return turn @ np.diag([1.0, ratio]) @ turn.T


def mode(A, cells, length=1.0):
    """(decay rate of cos 2πx/length over the exact 4π²A₁₁/length², the last step's details, its note)."""
    grid = jko.Grid.uniform((0.0, 0.0), (length, length), cells, periodic=True)
    wave = np.cos(2.0 * np.pi * grid.centers[..., 0] / length)
    duration = 0.5 * length**2 / (4.0 * np.pi**2 * A[0, 0])
    start = jko.Density(grid, (1.0 + 0.5 * wave) / length**2)
    run = jko.flow(fn.Entropy(), start, FV(metric=A), tau=duration / 8, n_steps=8)
    left = 4.0 * np.mean(run.final.values * wave) * length**2
    return -2.0 * np.log(left), json.loads(run.info.details[-1]), run.info.note[-1]


@pytest.mark.slow
@pytest.mark.parametrize("length", [1.0, 1e3])
@pytest.mark.parametrize(("ratio", "n", "enough"), [(1e-2, 16, 29), pytest.param(1e-3, 32, 41, marks=long)])
def test_long_edges_lose_what_the_note_says(ratio, n, enough, length):
    """(2π share)²/12 of the rate, to the next term of the cosine; a finer grid, as told, loses 3 %."""
    rate, details, note = mode(turned(ratio), (n, n), length)
    assert details["edge_share"] == pytest.approx(details["edge"] / n)
    assert 1.0 - rate == pytest.approx((2.0 * np.pi * details["edge_share"]) ** 2 / 12.0, rel=0.2)
    assert f"edges of {details['edge']:.3g} cells along axis 0" in note
    assert f"with {enough} x {enough} cells" in note
    better, finer, silence = mode(turned(ratio), (enough, enough), length)
    assert 0.965 < better < 1.0
    assert finer["edge_share"] <= 0.1
    assert silence == ""


def test_edges_that_carry_little_are_not_long():
    """A just beside (1, 1): Selling's other offsets are longer, and weigh a thousandth."""
    rate, details, note = mode(np.array([[1.0, 0.999], [0.999, 1.001]]), (24, 24))
    assert details["edge"] < 1.1
    assert note == ""
    assert rate == pytest.approx(1.0, abs=0.01)


# --- what is not taken -----------------------------------------------------------------------------------


def uniform(value=0.5, **grid):
    box = jko.Grid.uniform(0.0, 1.0, 10, **grid)
    return jko.Density(box, np.full(10, value))


def cube(n=4):
    return jko.Density(jko.Grid.uniform((0.0,) * 3, (1.0,) * 3, (n,) * 3), np.ones((n,) * 3))


def square(n):
    return jko.Density.uniform(jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), (n, n), periodic=True))


@pytest.mark.parametrize(
    "A",
    [lambda x: 1.0 + 0.5 * jnp.sin(2.0 * jnp.pi * x[0]), lambda x: jnp.where(x[0] < 0.45, 1.0, 5.0)],
)
def test_metrics_of_the_period_are_taken_with_layers_as_well(A):
    run = jko.flow(fn.Entropy(), uniform(periodic=True), FV(metric=A), tau=0.01, n_steps=1)
    assert run.info.note[-1] == ""


@pytest.mark.parametrize(
    ("scheme", "F", "mu", "match"),
    [
        (EXCLUSION, fn.FermiDirac(), uniform(1.2), "expected a density of at most 1"),
        (EXCLUSION, fn.Cap(0.9), uniform(), "takes no cap beside a mobility"),
        (FV(mobility=lambda s: s * (1 - s)), fn.Entropy(), uniform(1.2), "expected M.ρ. ≥ 0"),
        (FV(mobility=lambda s: 1.0 + 0 * s), fn.Entropy(), uniform(), r"expected M\(0\) = 0, got 1"),
        (FV(mobility=jnp.sin, reaction=fn.Entropy()), fn.Entropy(), uniform(), "none beside"),
        (FV(metric=np.eye(2)), fn.Entropy(), uniform(), r"shape \(1, 1\)"),
        (FV(metric=lambda x: -jnp.ones((1, 1))), fn.Entropy(), uniform(), r"matrix, got \[\[-1.0\]\]"),
        (FV(metric=np.eye(1)), fn.Entropy(), uniform(doors=np.arange(10) == 9), "takes no doors beside"),
        (FV(metric=np.eye(3) + 0.1), fn.Entropy(), cube(), "a diagonal matrix in three dimensions"),
        (
            FV(metric=turned(1e-4)),
            fn.Entropy(),
            square(32),
            "edges of at most 0.25 of the grid, got edges of 11",
        ),
        (
            FV(metric=lambda x: 1.0 + 0.5 * x[0]),
            fn.Entropy(),
            uniform(periodic=True),
            "the period of the grid",
        ),
    ],
)
def test_refusals(scheme, F, mu, match):
    with pytest.raises((TypeError, ValueError), match=match):
        scheme.prepare(F, mu)


def test_a_mobility_is_checked_where_a_run_comes():
    """Mass falls to the left wall, beyond the density up to which this M is as it was declared."""
    F = fn.Power(2.0) * 0.01 + fn.Potential("linear", slope=4.0)
    mobility = jko.Mobility(lambda s: jnp.where(s < 1.0, s, s**2), concave=True)
    with pytest.raises(ValueError, match="concave: declared True, but"):
        jko.flow(F, uniform(), FV(mobility=mobility), tau=0.02, n_steps=20)


@pytest.mark.parametrize("metric", ["A", [1.0], [[1.0, 2.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]], np.nan])
def test_what_is_no_metric_is_refused_at_once(metric):
    with pytest.raises(
        (TypeError, ValueError), match="metric: expected a symmetric positive definite matrix"
    ):
        FV(metric=metric)


def test_it_is_no_flow_of_w2_and_says_so():
    mu, F = uniform(), fn.Entropy() + fn.Potential("quadratic", stiffness=1.0)
    assert FV().displacement_modulus(F, mu) == 1.0
    assert FV(mobility="exclusion").displacement_modulus(F, mu) is None
    assert FV(metric=[[2.0]]).displacement_modulus(F, mu) is None
