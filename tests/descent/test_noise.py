"""The noise: jax's own generator behind it, the moments and laws, and what it does not depend on.

Random tests are of fixed seeds; their bounds are at least four standard errors.
"""

import jax
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from scipy import stats

from jko.descent import Langevin, NoiseInjection, UnderdampedLangevin
from jko.descent.blocks import noise
from jko.descent.blocks.noise import increments, threefry
from jko.loops.random_keys import key_of

N = 400_000


def draw(kind, shape=(2, N), seed=0, step=0, dtype=np.float32):
    with jax.enable_x64(dtype == np.float64):
        return np.asarray(_drawn(kind, key_of(seed), step, shape, dtype))


_drawn = jax.jit(increments, static_argnums=(0, 3, 4))


def test_threefry_is_jax_s():
    key, counters = jax.random.key_data(key_of(5)), np.arange(64, dtype=np.uint32)
    ours = np.concatenate(threefry((key[0], key[1]), counters[:32], counters[32:]))
    assert np.array_equal(ours, threefry_2x32(key, counters))


def test_all_bits_of_a_seed_count_and_more_are_refused():
    """In float32 jax drops the higher half of a seed, and from 2⁶³ on it overflows."""
    for dtype in (np.float32, np.float64):
        draws = [draw("gaussian", (1, 50), seed, dtype=dtype) for seed in (1, 1 + 2**32, 2**64 - 1)]
        assert not np.any(draws[0] == draws[1]) | np.any(draws[1] == draws[2])
    for scheme in (Langevin, UnderdampedLangevin, NoiseInjection):
        scheme(seed=2**64 - 1)
        for seed, error in ((2**64, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)):
            with pytest.raises(error, match="seed: expected a whole number"):
                scheme(seed=seed)


@pytest.mark.parametrize(
    ("kind", "even"), [("gaussian", (1.0, 3.0, 15.0)), ("three-point", (1.0, 65536 / 21846, 9.0))]
)
def test_moments(kind, even):
    x = draw(kind).astype(float).ravel()
    for power in range(1, 7):
        scatter = np.std(x**power) / np.sqrt(x.size)
        exact = even[power // 2 - 1] if power % 2 == 0 else 0.0
        assert np.mean(x**power) == pytest.approx(exact, abs=4.5 * scatter + 1e-3 * (power == 6))


def test_the_gaussian_is_gaussian():
    x = draw("gaussian")
    for row in x:
        assert stats.kstest(row, "norm").pvalue > 1e-3
        tail = np.mean(np.abs(row) > 4.0)
        assert tail == pytest.approx(2.0 * stats.norm.sf(4.0), abs=4.0 * np.sqrt(6.3e-5 / N))
    angle = np.arctan2(x[1], x[0])
    assert stats.kstest(angle, "uniform", args=(-np.pi, 2.0 * np.pi)).pvalue > 1e-3


@pytest.mark.parametrize("kind", noise.NOISES)
def test_coordinates_steps_seeds_and_neighbours_are_uncorrelated(kind):
    x = draw(kind, (3, 100_000)).astype(float)
    others = [draw(kind, (3, 100_000), **other).astype(float) for other in ({"step": 1}, {"seed": 1})]
    pairs = [(x[0], x[1]), (x[0], x[2]), (x[0][1:], x[0][:-1])]
    pairs += [(x[0], other[k]) for other in others for k in range(3)]
    for a, b in pairs:
        for power in (1, 2):
            assert abs(np.corrcoef(a**power, b**power)[0, 1]) < 4.5 / np.sqrt(len(a))


@pytest.mark.parametrize(("kind", "d"), [("gaussian", 3), ("three-point", 5)])
def test_a_particle_s_noise_does_not_depend_on_how_many_there_are(kind, d):
    assert np.array_equal(draw(kind, (d, 1003))[:, :77], draw(kind, (d, 77)))


def test_single_and_double_precision_are_the_same_noise():
    """The radius near 0, where the uniform number rounds to 1, is the least exact."""
    single, double = draw("gaussian", (2, 20_000)), draw("gaussian", (2, 20_000), dtype=np.float64)
    assert double.dtype == np.float64
    assert np.abs(single - double).max() < 4e-4
    assert np.abs(single - double)[np.abs(double) > 0.1].max() < 1e-5
