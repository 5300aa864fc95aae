"""Sine, cosine, exponential and hyperbolic tangent whose bits do not depend on processor, C library or NumPy.

Simulators and policies use them in compiled code, one number at a time. They have no branch and no table, only
arithmetic that IEEE 754 defines to the last bit, fused multiply-add included: in a loop, LLVM computes them for
several numbers at once, and the results are those of one number at a time.

Method: the argument is reduced by a multiple of π/2 or log 2, which are sums of two or three floating-point numbers
(Cody & Waite 1980, "Software Manual for the Elementary Functions"; with fused multiply-add: Muller et al. 2018,
"Handbook of Floating-Point Arithmetic", 2nd ed., sec. 10.2). A minimax polynomial or rational function approximates
the function on what is left (coefficients by Remez's algorithm in 60 digits). The leading terms are added last.

    sin r ≈ r + r³ S(r²),  cos r ≈ 1 − r²/2 + r⁴ C(r²)      |r| ≤ π/4
    exp x = 2ⁿ exp r,  exp r ≈ 1 + r + r² E(r)              |r| ≤ log(2)/2
    tanh x ≈ x + x³ P(x²)/Q(x²)                             |x| < 0.78
    tanh x = sign(x) (1 − 2/(exp(2|x|) + 1))                elsewhere

The error of each result is below one unit in the last place (ulp), of tanh below 1.1. Sine and cosine take an
argument beyond `MAX_ANGLE` for a multiple of π/2: there, neighbouring numbers are 0.008 rad apart. Where a processor
has no fused multiply-add, it is computed in software: slower, with the same bits.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from policysearch.jit import local, strided

#: Largest argument of sine and cosine that is not taken for a multiple of π/2 (rad).
MAX_ANGLE = 2.0**45
#: Arguments beyond which exp is ∞ or 0.
MIN_EXPONENT, MAX_EXPONENT = -746.0, 710.0
#: Where tanh changes from one formula to the other.
SMALL = 0.78

#: Adding it rounds to a whole number, whose lowest bits are then the lowest bits of the sum.
ROUNDER = 1.5 * 2.0**52

#: Numbers that `tanh_all` computes together.
BLOCK = 64

TWO_OVER_PI = 0.6366197723675814
HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
S = (
    -0.16666666666666632, 0.008333333333322413, -0.0001984126982980796,
    2.755731369195842e-06, -2.5050758120444772e-08, 1.5896795908244846e-10,
)  # fmt: skip
C = (
    0.0416666666666666, -0.0013888888888874125, 2.4801587289482208e-05,
    -2.7557314352322114e-07, 2.087572326995875e-09, -1.1359647560875866e-11,
)  # fmt: skip

ONE_OVER_LOG_2 = 1.4426950408889634
LOG_2 = (0.6931471805599453, 2.3190468138462996e-17)
E = (
    0.5000000000000004, 0.1666666666666646, 0.041666666666572615, 0.008333333333480434, 0.0013888888933478686,
    0.00019841269511510233, 2.480150279504611e-05, 2.7557598786502078e-06, 2.762702793631339e-07,
    2.4992045480918835e-08,
)  # fmt: skip

P = (-0.3333333333333333, -0.021412294357244906, -0.00024341203860435407, -1.731048078081169e-08)
Q = (1.0, 0.46423688307173416, 0.024520227439751942, 0.0002544464946271777)


def inlined(function: Callable[..., Any]) -> Any:
    """`function`, compiled into whatever calls it."""
    return njit(function, error_model="numpy", forceinline=True)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    double = types.float64
    return double(double, double, double), codegen


@intrinsic
def bits(typing: Any, x: Any) -> Any:
    """The 64 bits of a floating-point number as a whole number."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def from_bits(typing: Any, n: Any) -> Any:
    """The floating-point number with these 64 bits."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@inlined
def sin(x):
    """The sine of x (rad); NaN for what is not finite."""
    n, r, tail = of_quadrant(x)
    sine, cosine = sine_of(r, tail), cosine_of(r, tail)
    return negated_if(n & 2, cosine if n & 1 else sine)


@inlined
def cos(x):
    """The cosine of x (rad); NaN for what is not finite."""
    n, r, tail = of_quadrant(x)
    sine, cosine = sine_of(r, tail), cosine_of(r, tail)
    return negated_if((n + 1) & 2, sine if n & 1 else cosine)


@inlined
def small_sin(x):
    """`sin` for |x| <= π/4, in a third of the time."""
    z = x * x
    return x + x * z * sixth_order(S, z)


@inlined
def small_cos(x):
    """`cos` for |x| <= π/4, in a third of the time."""
    z = x * x
    half = 0.5 * z
    most = 1.0 - half
    return most + (((1.0 - most) - half) + z * z * sixth_order(C, z))


@inlined
def of_quadrant(x):
    """n in the lowest bits of a whole number, r and a tail, with x = n π/2 + r + tail and |r| ≤ π/4."""
    shifted = fma(x, TWO_OVER_PI, ROUNDER)
    n = shifted - ROUNDER
    first = fma(-n, HALF_PI[0], x)  # exact
    second = n * HALF_PI[1]
    r = first - second
    tail = ((first - r) - second) - fma(n, HALF_PI[2], fma(n, HALF_PI[1], -second))
    is_angle = abs(x) <= MAX_ANGLE
    return bits(shifted), r if is_angle else x - x, tail if is_angle else 0.0  # NaN for what is not finite


@inlined
def sine_of(r, tail):
    """sin(r + tail)."""
    z = r * r
    return r + fma(r * z, sixth_order(S, z), tail * (1.0 - 0.5 * z))


@inlined
def cosine_of(r, tail):
    """cos(r + tail)."""
    z = r * r
    half = 0.5 * z
    most = 1.0 - half
    return most + (((1.0 - most) - half) + fma(z * z, sixth_order(C, z), -(r * tail)))


@inlined
def sixth_order(c, z):
    """c₀ + c₁ z + … + c₅ z⁵ by Estrin's scheme, whose steps wait less for each other than Horner's."""
    z_2 = z * z
    return fma(fma(c[5], z, c[4]), z_2 * z_2, fma(fma(c[3], z, c[2]), z_2, fma(c[1], z, c[0])))


@inlined
def negated_if(two, x):
    """−x where `two` is 2, x where it is 0."""
    return from_bits(bits(x) ^ (two << 62))


@inlined
def exp(x):
    """e to the power of x."""
    x = MAX_EXPONENT if x > MAX_EXPONENT else x
    x = MIN_EXPONENT if x < MIN_EXPONENT else x
    shifted, rest = of_exponent(x)
    half = fma(shifted - ROUNDER, 0.5, ROUNDER)  # 2ⁿ itself may be too large or too small for a number
    return ((1.0 + rest) * power_of_two(bits(half))) * power_of_two(bits(shifted) - bits(half))


@inlined
def of_exponent(x):
    """n in the lowest bits of a number, and exp r − 1, with x = n log 2 + r and |r| ≤ log(2)/2."""
    shifted, r, tail = of_octave(x)
    return shifted, exp_less_one(r, tail)


@inlined
def of_octave(x):
    """n in the lowest bits of a number, r and a tail, with x = n log 2 + r + tail."""
    shifted = fma(x, ONE_OVER_LOG_2, ROUNDER)
    n = shifted - ROUNDER
    first, second = fma(-n, LOG_2[0], x), n * LOG_2[1]  # the former is exact
    r = first - second
    return shifted, r, (first - r) - second


@inlined
def exp_less_one(r, tail):
    """exp(r + tail) − 1."""
    high = fma(fma(fma(fma(E[9], r, E[8]), r, E[7]), r, E[6]), r, E[5])
    E_r = fma(fma(fma(fma(fma(high, r, E[4]), r, E[3]), r, E[2]), r, E[1]), r, E[0])
    return r + fma(r * r, E_r, tail)


@inlined
def power_of_two(n):
    """2ⁿ for −1023 < n < 1024, of which the lowest bits of n suffice."""
    return from_bits((n + 1023) << 52)


@inlined
def tanh(x):
    """The hyperbolic tangent of x."""
    shifted, r, tail = of_tangent(x)
    return tangent_of(x, shifted, exp_less_one(r, tail))


@inlined
def tanh_all(x, first, stop):
    """Replace the numbers of an array from index `first` to `stop` by their `tanh`, in three quarters of the time.

    Three short loops instead of one: a processor begins the next numbers only as far ahead as it has registers.
    """
    shifted, r, rest = local(BLOCK), local(BLOCK), local(BLOCK)
    for start in range(first, stop, BLOCK):
        n, part = min(BLOCK, stop - start), strided(x, start, BLOCK, 1)
        for i in range(n):
            shifted[i], r[i], rest[i] = of_tangent(part[i])
        for i in range(n):
            rest[i] = exp_less_one(r[i], rest[i])
        for i in range(n):
            part[i] = tangent_of(part[i], shifted[i], rest[i])


@inlined
def of_tangent(x):
    """`of_octave` of 2|x|, or of 44, from where on tanh is 1."""
    size = abs(x)
    return of_octave(44.0 if size > 22.0 else 2.0 * size)  # NaN passes through


@inlined
def tangent_of(x, shifted, rest):
    """tanh x from 2|x| = n log 2 + r, of which `shifted` has n in its lowest bits, and rest = exp r − 1."""
    z = x * x
    small = abs(x) < SMALL
    power = power_of_two(bits(shifted))
    P_z = fma(fma(fma(P[3], z, P[2]), z, P[1]), z, P[0])
    Q_z = fma(fma(fma(Q[3], z, Q[2]), z, Q[1]), z, Q[0])
    above = x * z * P_z if small else math.copysign(2.0, -x)
    below = Q_z if small else fma(power, rest, power + 1.0)
    return (x if small else math.copysign(1.0, x)) + above / below


def reciprocal(y: float) -> tuple[float, float]:
    """1/y as a sum of two numbers, for `divided`."""
    exact = 1 / Fraction(y)
    first = float(exact)
    return first, float(exact - Fraction(first))


@inlined
def divided(x, by):
    """x / y, where `by` is `reciprocal(y)`, in a third of the time.

    Brisebarre, Muller & Raina 2004, "Accelerating correctly rounded floating-point division when the divisor is known
    in advance", algorithm 2. It is the rounded quotient for nearly every y, and within one unit in the last place for
    the others; the tests hold which. x is neither infinite nor below 2⁻⁹⁰⁰.
    """
    return fma(x, by[0], x * by[1])


@inlined
def floored_modulo(x, y):
    """x modulo y > 0, as `x % y` has it, exactly, for |x| up to 2⁵² y."""
    rest = fma(-math.floor(x / y), y, x)
    rest = rest + y if rest < 0.0 else rest
    return rest - y if rest >= y else rest
