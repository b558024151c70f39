"""What an Interaction chooses for its sums over particles, what it records, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals import pointwise
from jko import Particles
from jko.loops.sums.pair_sums import Difference
from jko.loops.sums.random_batch import random_batch_gradients
from jko.measures.forces import Choice
from jko.measures.radial import radial


def cloud(n=700, dimension=2, dtype=float):
    generator = np.random.default_rng(3)
    weights = generator.uniform(0.5, 1.5, n)
    return Particles(
        generator.normal(size=(n, dimension)).astype(dtype), (weights / weights.sum()).astype(dtype)
    )


def plummer(z):
    return 1.0 / jnp.sqrt(0.04 + jnp.sum(z**2))


def elliptic(z):
    return jnp.exp(-(z[0] ** 2) - 3.0 * z[1] ** 2)


def bump(z):
    return jnp.maximum(1.0 - jnp.sum(z**2) / 0.25, 0.0) ** 4


def ending(z):
    return jnp.maximum(1.0 - jnp.sum(z**2) / 0.09, 0.0) ** 3


def relative(got, exact):
    return np.sqrt(np.sum((got - exact) ** 2) / np.sum(exact**2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "options", "tolerance"),
    [
        (plummer, {"method": "split"}, 3e-6),
        ("logarithmic", {"method": "split", "tolerance": 1e-4}, 3e-4),
        pytest.param("logarithmic", {"method": "tree", "tolerance": 1e-4}, 3e-4, marks=pytest.mark.long),
        ("quadratic_logarithmic", {"method": "split"}, 3e-6),
        ("gaussian", {"method": "fourier"}, 3e-6),
        (ending, {"method": "cells", "cutoff": 0.3}, 1e-12),
        ("morse", {"method": "split"}, 3e-6),
        (bump, {"method": "split", "tolerance": 1e-4}, 3e-4),
    ],
)
def test_every_method_against_all_pairs(kernel, options, tolerance):
    """Energies, first variations and gradients; and the record's measured error is of that size."""
    mu = cloud()
    plain, fast = fn.Interaction(kernel), fn.Interaction(kernel, **options)
    assert relative(fast.wasserstein_gradient(mu), plain.wasserstein_gradient(mu)) < tolerance
    assert relative(fast.first_variation(mu), plain.first_variation(mu)) < tolerance
    assert fast(mu) == pytest.approx(plain(mu), rel=tolerance)
    choice = fast.choice(mu)
    assert choice.method == options["method"]
    assert 0.0 < choice.error_of_gradients < tolerance
    assert f"{choice.tolerance:g}" in str(choice)


def test_few_particles_are_summed_to_round_off():
    choice = fn.Interaction("logarithmic").choice(cloud())
    assert (choice.method, choice.error_of_gradients) == ("direct", 0.0)


@pytest.mark.slow
def test_the_choice_is_in_the_record_of_every_step_and_the_energy_falls():
    F = fn.Interaction("quadratic_logarithmic", method="split", tolerance=1e-6)
    plain = fn.Interaction("quadratic_logarithmic")
    runs = [jko.flow(f, cloud(400), jko.descent.ForwardEuler(), tau=1e-4, n_steps=3) for f in (F, plain)]
    assert all("split" in note and "error of the forces" in note for note in runs[0].info.note)
    assert all(note == "" for note in runs[1].info.note)
    assert np.all(np.diff(runs[0].energy) < 0.0)
    assert np.abs(runs[0].final.positions - runs[1].final.positions).max() < 1e-6


@pytest.mark.slow
def test_backward_euler_and_blob_step_on_the_host():
    F = fn.Interaction("gaussian", method="fourier", tolerance=1e-8)
    plain, mu = fn.Interaction("gaussian"), cloud(300)
    scheme = jko.descent.BackwardEuler(tolerance=1e-6)
    moved = [jko.flow(f, mu, scheme, tau=0.5, n_steps=1).final.positions for f in (F, plain)]
    assert np.abs(moved[0] - moved[1]).max() < 1e-6
    regular = fn.Entropy() + fn.Power(2)
    moved = [
        jko.flow(regular + f, mu, jko.descent.Blob(sums=sums), tau=0.01, n_steps=1).final.positions
        for f, sums in ((F, "fourier"), (plain, "direct"))
    ]
    assert np.abs(moved[0] - moved[1]).max() < 1e-6


@pytest.mark.slow
def test_random_batches_have_no_bias_and_the_stated_variance():
    """Means over 40 seeds within 5 standard errors in 120 coordinates: false for one set of seeds in 10⁴."""
    mu = cloud(60)
    n, partners = mu.n, 4
    exact = fn.Interaction("gaussian").wasserstein_gradient(mu)
    kernel = Difference(fn.Interaction("gaussian").W)
    draws = np.array(
        [random_batch_gradients(kernel, mu.positions, mu.weights, partners, s) for s in range(40)]
    )
    z = mu.positions[:, None] - mu.positions[None]
    pairs = -np.exp(-0.5 * np.sum(z**2, axis=-1))[..., None] * z * mu.weights[None, :, None]
    others = pairs.sum(axis=1) / (n - 1)
    spread = (np.sum(pairs**2, axis=1) / (n - 1) - others**2) * (n - 1) / (n - 2)
    variance = (n - 1) ** 2 / partners * spread * (1.0 - partners / (n - 1))
    deviation = (draws.mean(axis=0) - exact) / np.sqrt(variance / len(draws))
    assert np.abs(deviation).max() < 5.0
    assert draws.var(axis=0).mean() == pytest.approx(variance.mean(), rel=0.15)
    assert np.allclose(np.einsum("i,sid->sd", mu.weights, draws), 0.0, atol=1e-12)


@pytest.mark.slow
def test_a_random_batch_is_repeated_by_a_resumed_run_and_changes_with_the_cloud():
    F, mu = fn.Interaction("gaussian", method="random batch", seed=5), cloud(50)
    first = F.wasserstein_gradient(mu)
    assert np.array_equal(first, F.wasserstein_gradient(Particles(mu.positions.copy(), mu.weights)))
    moved = F.wasserstein_gradient(mu.with_positions(mu.positions + 1e-12))
    assert np.abs(moved - first).max() > 1e-3
    assert F(mu) == fn.Interaction("gaussian")(mu)
    assert "random batch" in str(F.choice(mu))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "forest"}, "method: expected one of"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": 0.5}, r"tolerance: expected a number from 1e-12 to 0\.01"),
        ({"method": "cells"}, "cutoff="),
        ({"cutoff": -1.0}, "cutoff"),
        ({"partners": 3}, "partners: expected an even"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_bad_settings_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        fn.Interaction("logarithmic", **options)


def test_methods_that_do_not_carry_a_kernel_are_named():
    mu = cloud(50)
    with pytest.raises(ValueError, match=r"cutoff: 1 says that W is 0 from there on"):
        fn.Interaction("gaussian", method="cells", cutoff=1.0).wasserstein_gradient(mu)
    with pytest.raises(ValueError, match="'split' needs a kernel that is a smooth function"):
        fn.Interaction(elliptic, method="split").wasserstein_gradient(mu)
    with pytest.raises(ValueError, match="'fourier' needs a kernel smooth"):
        fn.Interaction("logarithmic", method="fourier").wasserstein_gradient(mu)
    with pytest.raises(ValueError, match="general kernel"):
        fn.Interaction(lambda x, y: x @ y, general=True, method="split")
    with pytest.raises(TypeError, match="on Particles has a choice"):
        fn.Interaction("gaussian").choice(jko.Gaussian([0.0], [[1.0]]))


def test_a_kernel_that_is_radial_but_for_a_small_region_is_found_out_where_the_cloud_meets_it():
    """A bump of radius 0.001 at ±(0.3, 0.4), of which random differences know nothing."""
    place = jnp.array([0.3, 0.4])

    def dented(z):
        bumps = (jnp.exp(-jnp.sum((z - side * place) ** 2) / 2e-7) for side in (1.0, -1.0))
        return jnp.exp(-jnp.sum(z**2)) + sum(bumps)

    assert radial(dented, 2) is not None
    x = 0.001 * np.random.default_rng(0).normal(size=(80, 2))
    x[40:] += np.asarray(place)
    z = (x[:, None] - x[None]).reshape(-1, 2)
    exact = pointwise.gradients(dented, z).reshape(80, 80, 2).mean(axis=1)
    assert relative(fn.Interaction(dented).wasserstein_gradient(Particles(x)), exact) < 1e-12
    assert radial(dented, 2) is None
    with pytest.raises(ValueError, match="'split' needs a kernel that is a smooth function"):
        fn.Interaction(dented, method="split").wasserstein_gradient(Particles(x))


def test_a_kernel_without_a_gradient_at_zero_pushes_no_particle_by_itself():
    """W = |z| written plainly has no gradient at 0: coincident pairs leave each other alone."""
    x = np.random.default_rng(0).normal(size=(40, 2))
    x[7] = x[3]
    got = fn.Interaction(lambda z: jnp.sqrt(jnp.sum(z**2))).wasserstein_gradient(Particles(x))
    z = x[:, None] - x[None]
    r = np.sqrt(np.sum(z**2, axis=-1))
    exact = np.mean(z / np.where(r > 0, r, 1.0)[..., None], axis=1)
    assert np.abs(got - exact).max() < 1e-13


@pytest.mark.slow
def test_a_changed_constant_of_ones_own_kernel_is_seen():
    mu, scale = cloud(300), 1.0
    F = fn.Interaction(lambda z: scale * jnp.exp(-jnp.sum(z**2)), method="fourier")
    once = F.wasserstein_gradient(mu)
    scale = 2.0
    assert relative(F.wasserstein_gradient(mu), 2.0 * once) < 1e-12


@pytest.mark.parametrize("method", ["auto", "fourier", "split"])
def test_coincident_particles_have_no_mesh(method):
    cloud = Particles(np.ones((6000, 2)))
    W = fn.Interaction("gaussian", method=method)
    assert np.all(W.wasserstein_gradient(cloud) == 0.0)
    assert W(cloud) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.slow
def test_a_method_that_misses_gives_way_to_all_pairs_and_says_so():
    """Forces of a cloud 1e-6 wide under a kernel of unit size: they cancel to far below the tolerance."""
    mu = Particles(1e-6 * np.random.default_rng(0).normal(size=(300, 1)))
    F = fn.Interaction("morse", method="split")
    choice = F.choice(mu)
    assert choice.method == "direct"
    assert "since split would err by" in str(choice)
    assert choice.worth_a_note
    plain = fn.Interaction("morse").wasserstein_gradient(mu)
    assert relative(F.wasserstein_gradient(mu), plain) < 1e-9


def test_a_choice_that_misses_says_so():
    assert str(Choice("split", "near pairs", 1e-6, 1e-9, 1e-5)).endswith("asked for 1e-06, MISSED")


def test_a_random_batch_is_refused_on_many_devices_and_counts_the_partners_there_are():
    F = fn.Interaction("gaussian", method="random batch", partners=100)
    assert "48 partners" in str(F.choice(cloud(50)))
    with jko.sharding.over(1), pytest.raises(ValueError, match="'random batch' needs all particles on one"):
        jko.flow(F, cloud(50), jko.descent.ForwardEuler(), tau=0.1, n_steps=1)


def test_kernels_and_particles_that_are_none_are_refused_by_name():
    with pytest.raises(TypeError, match="general: expected True or False"):
        fn.Interaction(lambda x, y: x @ y, general="yes")
    with pytest.raises(ValueError, match="W must be a number away from 0"):
        fn.Interaction(lambda z: jnp.nan * z[0])(cloud(10))
    with pytest.raises(ValueError, match="positions: expected rows of one length"):
        Particles([[1, 2], [3]])
    with pytest.raises(TypeError, match="positions: expected an array of numbers, got truth values"):
        Particles([True, False])
    for n in (0, -1, 1.5, "a"):
        with pytest.raises((TypeError, ValueError), match="n: expected a whole number"):
            cloud(10).subsample(n, 0)
    three = cloud(3)
    with pytest.raises(ValueError, match="the recorded energy estimates the entropy"):
        jko.flow(fn.Entropy(), three, jko.descent.Langevin(), tau=0.1, n_steps=1)


@pytest.mark.parametrize("length", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("kernel", ["of each axis", "of the length"])
def test_a_kernel_is_asked_at_its_own_lengths_whether_it_is_radial(length, kernel):
    """Σ cos(z_a/L) is |z|² to rounding far below L: as one it gave other energies from L = 3e4 on."""
    x = np.random.default_rng(0).normal(size=(34, 2))
    z = x[:, None] - x[None]
    if kernel == "of each axis":
        W = fn.Interaction(lambda z: -jnp.sum(jnp.cos(z / length)))
        expected = -0.5 * np.cos(z).sum(axis=-1).mean()
    else:
        W = fn.Interaction(lambda z: jnp.cos(jnp.sqrt(jnp.sum((z / length) ** 2) + 1.0)))
        expected = 0.5 * np.cos(np.sqrt((z**2).sum(axis=-1) + 1.0)).mean()
    assert (radial(W.W, 2) is None) == (kernel == "of each axis")
    start = jko.descent.ForwardEuler().prepare(W, jko.Particles(length * x)).start
    assert start["energy"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("length", [1e-6, 1.0, 1e6])
def test_a_kernel_is_asked_at_its_own_lengths_whether_it_is_even(length):
    W = fn.Interaction(lambda z: jnp.cos(z[0] / length) + 0.3 * jnp.sin(z[0] / length) ** 3)
    with pytest.raises(ValueError, match="W must be even"):
        W.require_even(1)
