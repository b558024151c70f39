"""Stochastic integrators of second order: orders of their exact laws, the blocks that run them, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import functionals as fn
import jko
from jko import Particles
from jko.descent import Langevin, LeimkuhlerMatthews, StochasticHeun, UnderdampedLangevin
from jko.descent.blocks.noise import increments
from jko.loops.random_keys import key_of
from tests.descent import exact_laws
from tests.descent.exact_laws import orders
from tests.first_step import energy_of

STIFFNESS, TEMPERATURE = 1.3, 0.7
SCHEMES = [StochasticHeun(seed=3), LeimkuhlerMatthews(seed=3), UnderdampedLangevin(seed=3, friction=1.5)]
WELL = fn.Potential(lambda x: 0.25 * jnp.sum(x**4) - 0.5 * jnp.sum(x**2))
F = 0.5 * fn.Entropy() + WELL + fn.Interaction("gaussian", strength=0.5)
STEEP = fn.Entropy() + fn.Potential("quadratic", stiffness=4.0)
OBSERVABLES = [lambda x: x, lambda x: x**2, lambda x: x**4]


def V(x):
    return 0.25 * x**4 - 0.5 * x**2


def dV(x, later=0):
    return x**3 - x


def cloud(n=41, dimension=2, dtype=np.float64, seed=0):
    return Particles(np.random.default_rng(seed).normal(size=(n, dimension)).astype(dtype))


def each(schemes):
    return pytest.mark.parametrize("scheme", schemes, ids=lambda scheme: type(scheme).__name__)


def ornstein_uhlenbeck_variance(start, time):
    limit = TEMPERATURE / STIFFNESS
    return limit + (start - limit) * np.exp(-2.0 * STIFFNESS * time)


@pytest.mark.parametrize(
    ("scheme", "order"),
    [(StochasticHeun(), 2), (LeimkuhlerMatthews(), 1)],
    ids=["heun", "leimkuhler-matthews"],
)
def test_the_order_of_the_second_moment_of_ornstein_uhlenbeck(scheme, order):
    """By the scheme's own linear recursion of moments: no sampling."""
    exact = ornstein_uhlenbeck_variance(0.25, 0.8)
    errors = [
        exact_laws.second_moments(scheme, STIFFNESS, TEMPERATURE, 0.8 / k, k, [[0.25]])[0, 0] - exact
        for k in (16, 32, 64)
    ]
    assert orders(errors) == pytest.approx([order] * 2, abs=0.05)
    assert scheme.order == order


def test_the_order_of_all_second_moments_of_the_underdamped_oscillator():
    scheme, mass = UnderdampedLangevin(friction=1.5, mass=0.8), 0.8
    start, limit = np.diag([0.25, 0.1]), np.diag([TEMPERATURE / STIFFNESS, TEMPERATURE / mass])
    flow = expm(0.8 * np.array([[0.0, 1.0], [-STIFFNESS / mass, -scheme.friction]]))
    exact = limit + flow @ (start - limit) @ flow.T
    errors = [
        exact_laws.second_moments(scheme, STIFFNESS, TEMPERATURE, 0.8 / k, k, start) - exact
        for k in (8, 16, 32)
    ]
    for i, j in ((0, 0), (0, 1), (1, 1)):
        assert orders([error[i, j] for error in errors]) == pytest.approx([2.0, 2.0], abs=0.02)


@pytest.mark.parametrize("product", [0.1, 1.0, 1.9])
def test_which_equilibria_of_a_quadratic_are_exact(product):
    """The variance is θ/λ to rounding for LeimkuhlerMatthews and BAOAB, for every stable τ."""
    for scheme in (LeimkuhlerMatthews(), UnderdampedLangevin(friction=2.0, mass=0.5)):
        tau = product * scheme.limit(STIFFNESS) / 2.0
        start = np.zeros((2, 2)) if scheme.carries else [[0.0]]
        moments = exact_laws.second_moments(scheme, STIFFNESS, TEMPERATURE, tau, 4000, start)
        assert moments[0, 0] == pytest.approx(TEMPERATURE / STIFFNESS, rel=1e-10)


def test_weak_order_two_of_stochastic_heun_on_a_double_well():
    """All paths of three-point increments against the spectrum of the Fokker-Planck operator."""
    exact = exact_laws.averages_of_the_diffusion(
        V, dV, lambda x: 3.0 * x**2 - 1.0, 0.5, 0.4, 0.5, OBSERVABLES
    )
    averages = [
        exact_laws.averages_over_paths(StochasticHeun(), dV, 0.5, 0.4 / k, k, (0.5,), OBSERVABLES)
        for k in (3, 6, 12)
    ]
    errors = np.array(averages) - exact
    for column in errors.T[1:]:
        assert orders(column)[-1] == pytest.approx(2.0, abs=0.15)
    # that of the mean is small, and still falls faster
    assert orders(errors[:, 0])[-1] > 2.0


def test_weak_order_two_of_baoab_on_a_double_well():
    """The limit by extrapolation from 8 and 11 steps, from a point of phase space."""
    scheme, start = UnderdampedLangevin(friction=1.5, mass=0.8), (0.5, 0.3, dV(0.5))
    averages = {
        k: exact_laws.averages_over_paths(scheme, dV, 0.5, 0.8 / k, k, start, OBSERVABLES)
        for k in (2, 4, 8, 11)
    }
    limit = averages[11] + (averages[11] - averages[8]) * 64.0 / (121.0 - 64.0)
    for column in np.array([averages[k] - limit for k in (2, 4, 8)]).T:
        assert orders(column)[-1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "steps", "below"),
    [
        (StochasticHeun(), (0.025, 0.0125), 2e-4),
        (LeimkuhlerMatthews(), (0.05, 0.025), 4e-5),
        (UnderdampedLangevin(), (0.2, 0.1), 3e-4),
    ],
    ids=["heun", "leimkuhler-matthews", "underdamped"],
)
def test_the_variance_at_equilibrium_is_wrong_by_order_two(scheme, steps, below):
    """On a double well, by the transfer operator of the scheme against the integral of x²e^{−V/θ}."""
    x = np.linspace(-5.0, 5.0, 4001)
    density = np.exp(-V(x) / 0.5)
    exact = (density @ x**2) / density.sum()
    errors = [
        exact_laws.average_at_equilibrium(scheme, dV, 0.5, tau, lambda x: x**2, nodes=(120, 60)) - exact
        for tau in steps
    ]
    assert orders(errors) == pytest.approx([2.0], abs=0.1)
    assert abs(errors[-1]) < below


@pytest.mark.slow
@each(SCHEMES)
def test_a_block_is_its_move_repeated(scheme):
    """The compiled steps use the increments of (seed, step), and the gradient of the potential."""
    functional, mu, tau = 0.5 * fn.Entropy() + WELL, cloud(), 0.05
    problem = scheme.prepare(functional, mu)
    state = problem.start
    moved, end, records = scheme.advance(problem, mu, 0.0, tau, 3, state)
    carried = tuple(a.T for a in (mu.positions, *(state[name] for name in scheme.carries)))
    with jax.enable_x64(True):
        kicks = [np.asarray(increments("gaussian", key_of(3), k, (2, mu.n), np.float64)) for k in range(4)]
    for number in range(3):
        carried = scheme.move(
            dV, carried, scheme.coefficients(0.5, tau), lambda ahead, k=number: kicks[k + ahead]
        )
    assert np.abs(moved.positions - carried[0].T).max() < 1e-12
    for name, array in zip(scheme.carries, carried[1:], strict=True):
        assert np.abs(end[name] - array.T).max() < 1e-12
    assert records.iterations.tolist() == [scheme.gradients_a_step] * 3


@pytest.mark.slow
@each(SCHEMES)
def test_blocks_steps_and_resumes_give_the_same_bits(scheme, tmp_path):
    mu, path = cloud(dtype=np.float32), tmp_path / "run.ckpt"
    whole = jko.flow(F, mu, scheme, tau=0.02, n_steps=10, store_every=10)
    jko.flow(F, mu, scheme, tau=0.02, n_steps=4, store_every=2, checkpoint=path)
    resumed = jko.flow(F, mu, scheme, tau=0.02, n_steps=10, store_every=2, checkpoint=path)
    assert whole.final.positions.dtype == np.float32
    assert np.array_equal(resumed.final.positions, whole.final.positions)
    problem = scheme.prepare(F, mu)
    there, state = mu, problem.start
    for _ in range(10):
        there, state, _ = scheme.step(problem, there, 0.0, 0.02, state)
    assert np.array_equal(there.positions, whole.final.positions)


@pytest.mark.slow
def test_many_particles_have_the_moments_of_the_recursion():
    """4·10⁵ particles: the standard error of the variance is 1.2e-3, of which 4 are allowed."""
    functional = TEMPERATURE * fn.Entropy() + fn.Potential("quadratic", stiffness=STIFFNESS)
    n = 400_000
    start = Particles(0.5 * np.random.default_rng(5).normal(size=(n, 1)).astype(np.float32))
    for scheme in (StochasticHeun(noise="three-point"), UnderdampedLangevin(friction=1.5)):
        final = jko.flow(functional, start, scheme, tau=0.2, n_steps=4, store_every=4).final
        first = np.diag([0.25, TEMPERATURE]) if scheme.carries else [[0.25]]
        variance = exact_laws.second_moments(scheme, STIFFNESS, TEMPERATURE, 0.2, 4, first)[0, 0]
        assert float(final.covariance()[0, 0]) == pytest.approx(variance, abs=4 * variance * np.sqrt(2.0 / n))


def test_large_friction_is_the_overdamped_limit():
    """With γm = 1 the variance tends to that of Ornstein-Uhlenbeck at the same time, by O(1/γ)."""
    exact, errors = ornstein_uhlenbeck_variance(0.25, 0.3), []
    for friction in (40.0, 80.0, 160.0):
        scheme, steps = UnderdampedLangevin(friction=friction, mass=1.0 / friction), round(15 * friction)
        start = np.diag([0.25, TEMPERATURE * friction])
        moments = exact_laws.second_moments(scheme, STIFFNESS, TEMPERATURE, 0.3 / steps, steps, start)
        errors.append(moments[0, 0] - exact)
    assert orders(errors) == pytest.approx([1.0, 1.0], abs=0.1)


@pytest.mark.slow
def test_energies_in_phase_space_fall_where_those_of_the_positions_swing():
    """Little friction on a quadratic: laws are Gaussian, and both energies are known at every time."""
    friction, mu = 0.4, Particles(2.0 + 0.3 * np.random.default_rng(1).normal(size=(8000, 1)))
    functional = STEEP
    found, exact = {}, {"positions": [], "phase space": []}
    for kind in exact:
        scheme = UnderdampedLangevin(friction=friction, energy_of=kind, seed=2)
        found[kind] = jko.flow(functional, mu, scheme, tau=0.02, n_steps=120, store_every=20)
    generator, limit = np.array([[0.0, 1.0], [-4.0, -friction]]), np.diag([0.25, 1.0])
    for t in found["positions"].times:
        flow = expm(t * generator)
        mean, covariance = flow @ [2.0, 0.0], limit + flow @ (np.diag([0.09, 1.0]) - limit) @ flow.T
        potential, kinetic = 2.0 * (mean[0] ** 2 + covariance[0, 0]), 0.5 * (mean[1] ** 2 + covariance[1, 1])
        entropy = 0.5 * np.log(2.0 * np.pi * np.e * np.array([covariance[0, 0], np.linalg.det(covariance)]))
        exact["positions"].append(potential - entropy[0])
        exact["phase space"].append(potential + kinetic - entropy[1] - 0.5)
    for kind, run in found.items():
        assert np.all(np.abs(run.energy - exact[kind]) < 4.0 * run.energy_uncertainty + 0.02)
    assert np.all(np.diff(found["phase space"].energy) < 0.0)
    assert np.diff(found["positions"].energy).max() > 0.5


@pytest.mark.slow
def test_a_start_at_rest_has_no_free_energy_in_phase_space():
    scheme = UnderdampedLangevin(start="rest", energy_of="phase space")
    problem = scheme.prepare(F, cloud())
    state = problem.start
    assert not np.any(state["velocities"])
    assert scheme.energy(problem, cloud(), 0.0, state) == (np.inf, np.inf)
    problem = UnderdampedLangevin(mass=0.25).prepare(F, cloud(4000))
    warm = problem.start
    assert np.std(warm["velocities"]) == pytest.approx(np.sqrt(0.5 / 0.25), rel=0.05)


@each(SCHEMES)
def test_the_energy_is_that_of_langevin(scheme):
    mu = cloud(dtype=np.float32)
    ours = energy_of(scheme, F, mu)
    assert ours == energy_of(Langevin(), F, mu)


@each([StochasticHeun, LeimkuhlerMatthews, UnderdampedLangevin])
def test_refusals(scheme):
    with pytest.raises(ValueError, match=r"Power.*descent\.Blob"):
        scheme().prepare(fn.Power(2), cloud())
    with pytest.raises(ValueError, match="Cap"):
        scheme().prepare(F + fn.Cap(1.0), cloud())
    with pytest.raises(TypeError, match="moves Particles, got Gaussian"):
        scheme().prepare(F, jko.Gaussian.of(0.0, 1.0))
    for settings in ({"noise": "cauchy"}, {"seed": -1}, {"neighbours": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            scheme(**settings)
    with pytest.raises(ValueError, match="tau"):
        jko.flow(F, cloud(), scheme(), tau=0.0, n_steps=1)


@pytest.mark.parametrize(
    "settings",
    [{"friction": 0.0}, {"friction": -1.0}, {"mass": np.nan}, {"start": "warm"}, {"energy_of": "x"}],
)
def test_settings_of_the_underdamped_dynamics_are_checked(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        UnderdampedLangevin(**settings)
