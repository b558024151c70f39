"""exp and log written so that a loop of them is compiled to vector instructions."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.polynomial import chebyshev

EXACT = {"contract", "nsz", "arcp", "nnan", "ninf"}  # no reassociation: the rounding trick below needs it
FAST = EXACT | {"reassoc"}


@intrinsic
def double_of(typingctx, bits):
    """The float64 with these 64 bits."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


@intrinsic
def bits_of(typingctx, number):
    """The 64 bits of a float64."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def float_of(typingctx, bits):
    """The float32 with these 32 bits."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


def _polynomial(function, half_width, degree):
    coefficients = chebyshev.chebinterpolate(lambda t: function(half_width * t), degree)
    return chebyshev.cheb2poly(coefficients) / half_width ** np.arange(degree + 1)


# e^r on |r| ≤ ½ log 2, to 3e-16 and 1e-7
_P0, _P1, _P2, _P3, _P4, _P5, _P6, _P7, _P8, _P9, _P10 = (
    float(p) for p in _polynomial(np.exp, 0.5 * np.log(2.0), 10)
)
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5 = (np.float32(q) for q in _polynomial(np.exp, 0.5 * np.log(2.0), 5))
_SHIFT = 6755399441055744.0  # 1.5 · 2^52: adding it rounds to a whole number, left in the low bits
_LOG2E, _LOG2_HIGH, _LOG2_LOW = 1.4426950408889634, 0.693147180369123816490, 1.90821492927058770002e-10
_LEAST = -700.0
_LEAST32, _LOG2E32 = np.float32(-87.0), np.float32(1.4426950408889634)
_HIGH32, _LOW32 = np.float32(0.693145751953125), np.float32(1.428606765330187e-06)
_HALF32, _BIAS32, _MANTISSA32 = np.float32(0.5), np.int32(127), np.int32(23)


@njit(fastmath=EXACT, error_model="numpy")
def exp64(x):
    """e^x for −∞ < x < 700 in float64; e^{−700} below −700."""
    x = max(x, _LEAST)
    t = x * _LOG2E + _SHIFT
    n = t - _SHIFT
    r = (x - n * _LOG2_HIGH) - n * _LOG2_LOW
    r2 = r * r
    r4 = r2 * r2
    high = ((_P4 + _P5 * r) + r2 * (_P6 + _P7 * r)) + r4 * ((_P8 + _P9 * r) + r2 * _P10)
    p = ((_P0 + _P1 * r) + r2 * (_P2 + _P3 * r)) + r4 * high
    return p * double_of((bits_of(t) + 1023) << 52)


@njit(fastmath=EXACT, error_model="numpy")
def exp32(x):
    """e^x for x ≤ 0 in float32; e^{−87} below −87."""
    x = max(x, _LEAST32)
    n = np.int32(x * _LOG2E32 - _HALF32)
    f = np.float32(n)
    r = (x - f * _HIGH32) - f * _LOW32
    p = ((((_Q5 * r + _Q4) * r + _Q3) * r + _Q2) * r + _Q1) * r + _Q0
    return p * float_of(np.int32((n + _BIAS32) << _MANTISSA32))


_SQRT2 = 1.4142135623730951
_L = [2.0 / (2 * k + 1) for k in range(11)]
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9, _L10 = _L


@njit(fastmath=EXACT, error_model="numpy")
def log64(x):
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
