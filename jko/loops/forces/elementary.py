"""2^t and log written so that a loop of them is compiled to vector instructions."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.polynomial import chebyshev

EXACT = {"contract", "nsz", "arcp", "nnan", "ninf"}  # no reassociation: the rounding trick below needs it
FAST = EXACT | {"reassoc"}


@intrinsic
def double_of(typingctx, bits):
    """The float64 with these 64 bits."""

    def generate(context, builder, signature, args: tuple):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


@intrinsic
def bits_of(typingctx, number):
    """The 64 bits of a float64."""

    def generate(context, builder, signature, args: tuple):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def single_bits_of(typingctx, number):
    """The 32 bits of a float32."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def float_of(typingctx, bits):
    """The float32 with these 32 bits."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


def _polynomial(function, half_width: float, degree: int):
    coefficients = chebyshev.chebinterpolate(lambda t: function(half_width * t), degree)
    return chebyshev.cheb2poly(coefficients) / half_width ** np.arange(degree + 1)


# 2^r on |r| ≤ ½, to 2e-16 and 2e-7
_P0, _P1, _P2, _P3, _P4, _P5, _P6, _P7, _P8, _P9, _P10 = (float(p) for p in _polynomial(np.exp2, 0.5, 10))
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5 = (np.float32(q) for q in _polynomial(np.exp2, 0.5, 5))
# 1.5 · 2^52 and 1.5 · 2^23: adding them rounds to a whole number, left in the low bits
_SHIFT, _SHIFT32 = 6755399441055744.0, np.float32(12582912.0)
# exponents of 2 below give the least normal floats: e^{−710}, e^{−87} are nothing to a sum
_LEAST, _LEAST32 = -1021.0, np.float32(-125.0)
_MANTISSA32 = np.int32(23)  # bits of a float32 below its exponent
# log 2 in two parts: the first times a whole exponent is exact
_LOG2_HIGH, _LOG2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
LOG2E = 1.4426950408889634


def exp2(t):
    """2^t for t < 1000 (100 in float32), in compiled code alone; 2^{−1021} (2^{−125}) below that."""
    raise NotImplementedError("exp2 is for compiled loops")


@overload(exp2, jit_options={"fastmath": EXACT, "error_model": "numpy"})
def _exp2(t):
    return _exp2_single if t == types.float32 else _exp2_double


def _exp2_double(t):
    t = max(t, _LEAST)
    shifted = t + _SHIFT
    r = t - (shifted - _SHIFT)
    r2 = r * r
    r4 = r2 * r2
    high = ((_P4 + _P5 * r) + r2 * (_P6 + _P7 * r)) + r4 * ((_P8 + _P9 * r) + r2 * _P10)
    p = ((_P0 + _P1 * r) + r2 * (_P2 + _P3 * r)) + r4 * high
    return double_of(bits_of(p) + (bits_of(shifted) << 52))


def _exp2_single(t):
    t = max(t, _LEAST32)
    shifted = t + _SHIFT32
    r = t - (shifted - _SHIFT32)
    p = ((((_Q5 * r + _Q4) * r + _Q3) * r + _Q2) * r + _Q1) * r + _Q0
    return float_of(np.int32(single_bits_of(p) + (single_bits_of(shifted) << _MANTISSA32)))


_SQRT2 = 1.4142135623730951  # mantissas above go to the next binade: the polynomial is symmetric about 1
_L = [2.0 / (2 * k + 1) for k in range(11)]
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9, _L10 = _L


@njit(fastmath=EXACT, error_model="numpy")
def log64(x: float):
    """log x for a normal x > 0 in float64, to 2e-16 of its size or of 1."""
    bits = bits_of(x)
    # mantissa in [√½, √2): log x = e log 2 + 2 artanh((m − 1)/(m + 1))
    exponent = (bits - 4604544271217802189) >> 52
    m = double_of(bits - (exponent << 52))
    e = double_of(exponent + 4843621399236968448) - 6755399441055744.0
    z = (m - 1.0) / (m + 1.0)
    q = z * z
    p = _L10 * q + _L9
    p = p * q + _L8
    p = p * q + _L7
    p = p * q + _L6
    p = p * q + _L5
    p = p * q + _L4
    p = p * q + _L3
    p = p * q + _L2
    p = p * q + _L1
    p = p * q + _L0
    return (z * p + e * _LOG2_LOW) + e * _LOG2_HIGH
