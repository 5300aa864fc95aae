"""Quantiles of the normal distribution and of Student's t, and the root of a function.

They are those of `scipy.special` and `scipy.optimize` (to 12 digits; the root to the last), whose import takes longer
than a small report. The distribution of t with a whole number ν of degrees of freedom is a finite sum in
θ = atan(t/√ν) (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4). The root is found as Brent 1973 ("Algorithms for
minimization without derivatives", ch. 4) does.
"""

import math
from collections.abc import Callable
from functools import cache
from statistics import NormalDist

_NORMAL = NormalDist()


def normal_cdf(x: float) -> float:
    """The probability that a standard normal number is at most x."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def normal_quantile(p: float) -> float:
    """The number below which a standard normal one lies with probability p, 0 < p < 1."""
    return _NORMAL.inv_cdf(p)


@cache
def student_quantile(freedom: int, p: float) -> float:
    """The number below which Student's t lies with probability p, 1/2 < p < 1."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi * freedom)
    t = normal_quantile(p)
    for _ in range(100):  # Newton's steps from below, which the concave distribution does not let overshoot
        density = scale * (1.0 + t * t / freedom) ** (-(freedom + 1) / 2)
        step = (p - _student_cdf(freedom, t)) / density
        t += step
        if step <= 1e-15 * t:
            break
    return t


def _student_cdf(freedom: int, t: float) -> float:
    """P(T ≤ t) for t ≥ 0."""
    theta = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = freedom % 2
    term = cosine if odd else 1.0
    terms = []
    for k in range(2 + odd, freedom + 1, 2):  # of cos^{k−2} θ
        terms.append(term)
        term *= (k - 1) / k * cosine * cosine
    inside = sine * math.fsum(terms)
    return 0.5 + ((theta + inside) / math.pi if odd else inside / 2.0)


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with different signs at `low` and `high` is zero, within 2e-12, by Brent's method.

    Raises:
        ValueError: if the signs are the same.
    """
    a, b, f_a, f_b = low, high, function(low), function(high)  # b: the best so far; a: the one before
    if f_a == 0.0 or f_b == 0.0:
        return a if f_a == 0.0 else b
    if (f_a < 0) == (f_b < 0):
        raise ValueError(f"expected different signs at {low} and {high}, got {f_a} and {f_b}")
    c = f_c = step = before = 0.0  # c: on the other side of the root
    while True:
        if f_a != 0.0 and f_b != 0.0 and (f_a < 0) != (f_b < 0):
            c, f_c, step = a, f_a, b - a
            before = step
        if abs(f_c) < abs(f_b):
            a, b, c = b, c, b
            f_a, f_b, f_c = f_b, f_c, f_b
        half, near = (c - b) / 2, (2e-12 + 2.0**-50 * abs(b)) / 2
        if f_b == 0.0 or abs(half) < near:
            return b
        promising = abs(before) > near and abs(f_b) < abs(f_a)
        tried = _interpolated((a, f_a), (b, f_b), (c, f_c)) if promising else None
        if tried is not None and 2 * abs(tried) < min(abs(before), 3 * abs(half) - near):
            before, step = step, tried
        else:
            before = step = half
        a, f_a = b, f_b
        b += step if abs(step) > near else math.copysign(near, half)
        f_b = function(b)


def _interpolated(at_a: tuple[float, float], at_b: tuple[float, float], at_c: tuple[float, float]) -> float:
    """The step from b to the root of the secant or, through three different points, of the inverse parabola."""
    (a, f_a), (b, f_b), (c, f_c) = at_a, at_b, at_c
    if a == c:
        return -f_b * (b - a) / (f_b - f_a)
    to_a, to_c = (f_a - f_b) / (a - b), (f_c - f_b) / (c - b)
    return -f_b * (f_c * to_c - f_a * to_a) / (to_c * to_a * (f_c - f_a))
