"""Random increments of unit variance, functions of a seed and the numbers of the step and the particle."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from functionals.array import Array

NOISES = ("gaussian", "three-point")

# by how many bits Threefry-2x32 rotates, in turn [SalmonEtAl2011]
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_SIDE = 10923  # of 65536: the probability of a jump to one side, about 1/6


def increments(kind: str, key, step: int | Array, shape: tuple, dtype):
    """Independent increments ξ `[d, n]` of mean 0 and variance 1 for a step.

    Particle i's are a function of (key, step, i) and of nothing else: not of n, nor of where it is computed.
    "gaussian" is Box and Muller's transform of 2 × 32 random bits [BoxMuller1958], |ξ| < 6.7. "three-point"
    is ±a with probability p = 10923/65536 each and else 0, a = (2p)^{−1/2}: its moments are those of a
    Gaussian up to the fifth, but for 3·10⁻⁵ of the fourth, more than weak order 1 asks for
    [KloedenPlaten1992, section 14.1].
    """
    (d, n), dtype, parts = shape, jnp.dtype(dtype), _KINDS[kind]
    calls = -(-d // parts.count)
    row = lax.broadcasted_iota(jnp.uint32, (d, 1), 0)
    # every row computes whole calls and takes its part: rows put together would be one slow loop
    words = _words(lax.optimization_barrier(_call_keys(key, row % calls)), step, n)
    return lax.select_n(jnp.broadcast_to((row // calls).astype(jnp.int32), shape), *parts(*words, dtype))


def threefry(key: tuple, first: Array, second: Array):
    """Two random words of two counter words, 20 rounds of Threefry [SalmonEtAl2011], all uint32.

    Written out, since jax's own is a call that the compiler does not fuse with what is made of its words.
    """
    schedule = (*key, key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA))
    x, y = first + schedule[0], second + schedule[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << jnp.uint32(rotation)) | (y >> jnp.uint32(32 - rotation))) ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return x, y


def _call_keys(key, call: Array):
    """A key of its own for every call that a particle needs in a step."""
    words = jax.random.key_data(key)
    return threefry((words[0], words[1]), call, jnp.zeros_like(call))


def _words(keys: tuple, step: int | Array, n: int):
    particles = lax.iota(jnp.uint32, n)
    return threefry(keys, particles, jnp.broadcast_to(jnp.asarray(step).astype(jnp.uint32), (n,)))


def _gaussian(first: Array, second: Array, dtype):
    """r cos φ and r sin φ: r from the first word, φ from a quarter turn about 0 and two bits of the other."""
    number = dtype.type
    uniform = ((first >> jnp.uint32(1)).astype(jnp.int32).astype(dtype) + number(0.5)) * number(2.0**-31)
    radius = jnp.sqrt(number(-2.0) * jnp.log(uniform))
    radius = jnp.where((second & jnp.uint32(2)) != 0, -radius, radius)
    quarter = lax.bitcast_convert_type(second & jnp.uint32(0xFFFFFFFC), jnp.int32)
    sine, cosine = _quarter_turn((quarter.astype(dtype) + number(2.0)) * number(2.0**-32))
    swapped = (second & jnp.uint32(1)) != 0
    return radius * jnp.where(swapped, sine, cosine), radius * jnp.where(swapped, cosine, sine)


def _quarter_turn(t: Array):
    """sin(πt/2) and cos(πt/2) for |t| ≤ ½, by their Taylor polynomials to the last bit."""
    terms = 6 if t.dtype == jnp.float32 else 10
    square, quarter = t * t, math.pi / 2
    sine = cosine = jnp.zeros_like(t)
    for k in reversed(range(terms)):
        sign = (-1.0) ** k
        sine = sine * square + t.dtype.type(sign * quarter ** (2 * k + 1) / math.factorial(2 * k + 1))
        cosine = cosine * square + t.dtype.type(sign * quarter ** (2 * k) / math.factorial(2 * k))
    return sine * t, cosine


def _three_point(first: Array, second: Array, dtype):
    size = dtype.type(math.sqrt(32768.0 / _SIDE))
    halves = (first >> 16, first & 0xFFFF, second >> 16, second & 0xFFFF)
    zero = dtype.type(0)
    return tuple(
        jnp.where(half < _SIDE, size, jnp.where(half >= 65536 - _SIDE, -size, zero)) for half in halves
    )


_gaussian.count, _three_point.count = 2, 4  # increments from one call of Threefry: two words of 32 bits
_KINDS = {"gaussian": _gaussian, "three-point": _three_point}
