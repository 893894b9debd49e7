"""exp and log of one number, written so that loops over them compile to vector instructions; exp of vectors, too.

The system's exp and log are calls, one number at a time. These are some twenty multiplications with additions, fused
and without a branch; results are within 2 units in the last place.
"""

from math import factorial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.vectors import (
    all_lanes,
    larger,
    minus,
    minus_product,
    plus,
    plus_product,
    power_of_two,
    times,
)

SMALLEST_EXPONENT = -700.0
"""Where `fast_exp` becomes 0; exp is about 1e-304 here."""

_LOG2_E = 1.4426950408889634
# log 2 in two parts; the first has so few digits that its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Adding this rounds to an integer, which then lies in the lowest bits of the sum.
_ROUNDER = 1.5 * 2.0**52
_EXPONENT_BITS, _EXPONENT_BIAS = np.uint64(52), np.uint64(1023)
_HALF_SQRT = np.float64(np.sqrt(0.5)).view(np.uint64)
_TWO_TO_52 = np.float64(2.0**52).view(np.uint64)
_EXP_SERIES = tuple(1.0 / factorial(i) for i in range(14))
_LOG_SERIES = tuple(2.0 / (2 * i + 1) for i in range(11))


@intrinsic
def _bits_of(typingctx: Any, number: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.uint64(types.float64), codegen


@intrinsic
def _float_of(typingctx: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.uint64), codegen


@intrinsic
def _fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), codegen


@kernel(error_model="numpy")
def fast_exp(x: Any) -> Any:
    """exp(x) for x up to 700, which is 0 below `SMALLEST_EXPONENT`."""
    rounded = _fma(x, _LOG2_E, _ROUNDER)
    n = rounded - _ROUNDER
    r = _fma(-n, _LN2_LOW, _fma(-n, _LN2_HIGH, x))
    c = _EXP_SERIES
    r2 = r * r
    r4 = r2 * r2
    low = _fma(_fma(c[5], r, c[4]), r2, _fma(c[3], r, c[2]))
    middle = _fma(_fma(c[9], r, c[8]), r2, _fma(c[7], r, c[6]))
    high = _fma(_fma(c[13], r, c[12]), r2, _fma(c[11], r, c[10]))
    series = 1.0 + _fma(r2, _fma(r4, _fma(r4, high, middle), low), r)
    power = _float_of((_bits_of(rounded) + _EXPONENT_BIAS) << _EXPONENT_BITS)
    return series * power if x >= SMALLEST_EXPONENT else 0.0


@inner_kernel
def exp_of_lanes(x: Any) -> Any:
    """exp of vectors of up to 700, about 1e-304 below `SMALLEST_EXPONENT`."""
    x = larger(x, all_lanes(SMALLEST_EXPONENT))
    rounded = plus_product(all_lanes(_ROUNDER), x, all_lanes(_LOG2_E))
    n = minus(rounded, all_lanes(_ROUNDER))
    r = minus_product(minus_product(x, n, all_lanes(_LN2_HIGH)), n, all_lanes(_LN2_LOW))
    c, r2 = _EXP_SERIES, times(r, r)
    r4 = times(r2, r2)
    low = plus_product(_line(c[2], c[3], r), _line(c[4], c[5], r), r2)
    middle = plus_product(_line(c[6], c[7], r), _line(c[8], c[9], r), r2)
    high = plus_product(_line(c[10], c[11], r), _line(c[12], c[13], r), r2)
    rest = plus_product(r, r2, plus_product(low, r4, plus_product(middle, r4, high)))
    return times(plus(all_lanes(1.0), rest), power_of_two(rounded))


@inner_kernel
def _line(c: float, slope: float, x: Any) -> Any:
    return plus_product(all_lanes(c), all_lanes(slope), x)


@kernel(error_model="numpy")
def fast_log(x: Any) -> Any:
    """log(x) for positive normal x, those from 2.3e-308 on."""
    # x = m 2^n with m between sqrt(1/2) and sqrt(2).
    shifted = _bits_of(x) - _HALF_SQRT + (_EXPONENT_BIAS << _EXPONENT_BITS)
    biased = shifted >> _EXPONENT_BITS
    n = _float_of(biased | _TWO_TO_52) - (2.0**52 + 1023.0)
    m = _float_of(_bits_of(x) - ((biased - _EXPONENT_BIAS) << _EXPONENT_BITS))
    t = (m - 1.0) / (m + 1.0)
    z = t * t
    c = _LOG_SERIES
    z2 = z * z
    z4 = z2 * z2
    low = _fma(_fma(c[4], z, c[3]), z2, _fma(c[2], z, c[1]))
    high = _fma(_fma(c[8], z, c[7]), z2, _fma(c[6], z, c[5]))
    series = _fma(z, _fma(z4, _fma(z4, _fma(c[10], z, c[9]), high), low), c[0])
    return _fma(n, _LN2_HIGH, _fma(t, series, n * _LN2_LOW))
