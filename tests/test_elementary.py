"""Sine, cosine, exponential, hyperbolic tangent and modulo against more exact ones."""

import hashlib
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from policysearch import elementary
from policysearch.core import Array
from policysearch.jit import specialise
from policysearch.seeding import stream
from policysearch.simulators.cart_pole import TOTAL

#: The reference: 64 bits of mantissa, so its own error is below 0.001 ulp.
EXACT = np.finfo(np.longdouble).nmant >= 63
BOUNDS = {"sin": 1.0, "cos": 1.0, "small_sin": 1.0, "small_cos": 1.0, "exp": 1.0, "tanh": 1.1}


def over(function: Callable[..., Any]) -> Any:
    """The function of every number of an array; LLVM computes several at once."""

    def loop(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i])

    compiled = njit(loop, error_model="numpy")

    def run(x: Array) -> Array:
        out = np.empty_like(x)
        compiled(x, out)
        return out

    return run


def arguments(name: str, n: int) -> Array:
    """Numbers of all sizes, most of them where the function is something else than its limits."""
    rng = stream("arguments", name)
    signs = rng.choice([-1.0, 1.0], n)
    if name.startswith("small"):
        return rng.uniform(-math.pi / 4, math.pi / 4, n)
    if name == "exp":
        return np.concatenate(
            [rng.uniform(-746, 710, n), rng.uniform(-1, 1, n), signs * 2.0 ** rng.uniform(-60, 9, n)]
        )
    if name == "tanh":
        return np.concatenate([rng.uniform(-2, 2, n), signs * 2.0 ** rng.uniform(-60, 6, n)])
    near = np.rint(2.0 ** rng.uniform(0, 44, n)) * (math.pi / 2)  # where one of both is nearly 0
    return np.concatenate([rng.uniform(-10, 10, n), signs * 2.0 ** rng.uniform(-60, 45, n), near])


def errors(name: str, n: int) -> Array:
    """In units in the last place of the exact result."""
    x = arguments(name, n)
    with np.errstate(over="ignore", under="ignore"):
        exact = getattr(np, name.removeprefix("small_"))(x.astype(np.longdouble))
        nearest = exact.astype(float)
    found, finite = over(getattr(elementary, name))(x), np.isfinite(nearest)
    assert np.array_equal(found[~finite], nearest[~finite])
    off = np.abs(found[finite].astype(np.longdouble) - exact[finite])
    return np.asarray(off / np.spacing(np.abs(nearest[finite])), dtype=float)


@pytest.mark.skipif(not EXACT, reason="long double is no more exact than double here")
@pytest.mark.parametrize("name", BOUNDS)
def test_the_error_is_below_the_stated_bound(name: str) -> None:
    off = errors(name, 50_000)
    assert off.max() < BOUNDS[name]
    assert (off <= 0.5).mean() > 0.9  # most are the nearest number


@pytest.mark.nightly
@pytest.mark.skipif(not EXACT, reason="long double is no more exact than double here")
@pytest.mark.parametrize("name", BOUNDS)
def test_the_error_is_below_the_stated_bound_for_ten_million_numbers(name: str) -> None:
    assert errors(name, 10_000_000).max() < BOUNDS[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sin", [0.0, 0.0, math.nan, math.nan, math.nan]),
        ("cos", [1.0, 1.0, math.nan, math.nan, math.nan]),
        ("exp", [1.0, 1.0, math.inf, 0.0, math.nan]),
        ("tanh", [0.0, 0.0, 1.0, -1.0, math.nan]),
    ],
)
def test_zeros_infinities_and_what_is_no_number(name: str, expected: list[float]) -> None:
    found = over(getattr(elementary, name))(np.array([0.0, -0.0, math.inf, -math.inf, math.nan]))
    assert np.array_equal(found, expected, equal_nan=True)


def test_an_angle_without_digits_for_its_phase_is_taken_for_a_multiple_of_a_right_angle() -> None:
    x = np.array([2.0**46, 1e20, -1e300])
    sines, cosines = over(elementary.sin)(x), over(elementary.cos)(x)
    assert set(np.abs(sines).tolist()) | set(np.abs(cosines).tolist()) <= {0.0, 1.0}
    assert (sines**2 + cosines**2).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", BOUNDS)
def test_one_number_has_the_bits_that_it_has_among_many(name: str) -> None:
    x = arguments(name, 300)
    function, many = getattr(elementary, name), over(getattr(elementary, name))(x)
    assert np.array([function(value) for value in x.tolist()]).tobytes() == many.tobytes()


@pytest.mark.parametrize("n", [1, 63, 64, 200])
def test_all_numbers_of_an_array_have_the_tanh_of_one(n: int) -> None:
    @njit(error_model="numpy")
    def run(x: Any, first: Any, stop: Any) -> None:
        elementary.tanh_all(x, first, stop)

    x = np.concatenate([arguments("tanh", 100)[:n], [22.0, -22.5, math.inf, 0.0, math.nan]])
    found, expected = x.copy(), np.array([elementary.tanh(value) for value in x[1:].tolist()])
    run(found, 1, x.size)
    assert found[1:].tobytes() == expected.tobytes()
    assert found[0] == x[0]


def test_the_small_ones_have_the_bits_of_the_others() -> None:
    x = arguments("small_sin", 10_000)
    for name in ("sin", "cos"):
        small, general = over(getattr(elementary, f"small_{name}"))(x), over(getattr(elementary, name))(x)
        assert small.tobytes() == general.tobytes()


def test_a_division_by_a_known_number_is_rounded_as_any_other() -> None:
    rng = stream("division")
    for y in (TOTAL, 0.7, 9.8):
        x = np.concatenate([rng.uniform(-50, 50, 20_000), 2.0 ** rng.uniform(-900, 900, 2_000), hardest(y)])
        found = over(specialise(quotient, PER_Y=elementary.reciprocal(y)))(x)
        assert found.tobytes() == (x / y).tobytes()


def hardest(y: float) -> Array:
    """The numbers of [2⁵², 2⁵³) that y divides to nearly halfway between two floating-point numbers: within 2⁻¹⁰⁰.

    `divided` is off by less than that before it rounds, so only these can come out wrong. Such an x is a whole number
    X, and 2ᵏ X = (2M + 1) Y + r with y = Y 2ⁿ, a small r and a 53-bit M.
    """
    Y = int(math.frexp(y)[0] * 2**53)
    zeros = (Y & -Y).bit_length() - 1
    assert zeros < 8
    found = set()
    for k, r in itertools.product((53, 54), range(-32, 33)):
        if r % 2**zeros == 0:
            modulus = 2 ** (k - zeros)
            first = (-(r >> zeros) * pow(Y >> zeros, -1, modulus)) % modulus
            odd = [m for m in range(first, 2**54, modulus) if m % 2 and m >= 2**53][:4]
            found |= {(m * Y + r) >> k for m in odd}
    return np.array([x for x in found if 2**52 <= x < 2**53], dtype=float)


def quotient(x: Any) -> Any:
    """`divided` by a constant that `specialise` fills in."""
    return elementary.divided(x, PER_Y)  # type: ignore[name-defined]


def test_a_modulo_is_pythons() -> None:
    rng = stream("modulo")
    for y in (2 * math.pi, 1.0, 0.1):
        x = np.concatenate([rng.uniform(-50, 50, 20_000), y * rng.integers(-100, 100, 500)])
        found = over(specialise(modulo, Y=y))(x)
        assert found.tobytes() == (x % y).tobytes()


def modulo(x: Any) -> Any:
    return elementary.floored_modulo(x, Y)  # type: ignore[name-defined] # a template


#: Of the results for 10,000 numbers: the arithmetic is IEEE 754's, so every processor has these bits.
RECORDED = {
    "sin": "be33455ff1b111af",
    "cos": "f2175bcc91f677c0",
    "exp": "933af9e517f6a3fa",
    "tanh": "b84ad885d6a55440",
}


@pytest.mark.parametrize("name", RECORDED)
def test_the_bits_are_those_of_any_processor(name: str) -> None:
    x = stream("bits").uniform(-20, 20, 10_000)
    assert hashlib.sha256(over(getattr(elementary, name))(x).tobytes()).hexdigest()[:16] == RECORDED[name]
