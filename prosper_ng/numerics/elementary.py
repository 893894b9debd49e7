"""exp and log of one number, written so that loops over them compile to vector instructions.

The system's exp and log are calls, one number at a time. These are some forty multiplications and additions without a
branch; results are within 2 units in the last place.
"""

from math import factorial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

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


@njit(cache=True, error_model="numpy")
def fast_exp(x: Any) -> Any:
    """exp(x) for x up to 700, which is 0 below `SMALLEST_EXPONENT`."""
    rounded = x * _LOG2_E + _ROUNDER
    n = rounded - _ROUNDER
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    c = _EXP_SERIES
    r2 = r * r
    r4 = r2 * r2
    low = (c[2] + c[3] * r) + (c[4] + c[5] * r) * r2
    middle = (c[6] + c[7] * r) + (c[8] + c[9] * r) * r2
    high = (c[10] + c[11] * r) + (c[12] + c[13] * r) * r2
    series = 1.0 + (r + r2 * (low + r4 * (middle + r4 * high)))
    power = _float_of((_bits_of(rounded) + _EXPONENT_BIAS) << _EXPONENT_BITS)
    return series * power if x >= SMALLEST_EXPONENT else 0.0


@njit(cache=True, error_model="numpy")
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
    low = (c[1] + c[2] * z) + (c[3] + c[4] * z) * z2
    high = (c[5] + c[6] * z) + (c[7] + c[8] * z) * z2
    series = c[0] + z * (low + z4 * (high + z4 * (c[9] + c[10] * z)))
    return n * _LN2_HIGH + (t * series + n * _LN2_LOW)
