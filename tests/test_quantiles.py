"""Quantiles and roots: those of SciPy."""

import math

import numpy as np
import pytest
from scipy import optimize, special

from policysearch.quantiles import normal_cdf, normal_quantile, root, student_quantile
from policysearch.seeding import stream


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 30, 99, 2_998, 9_999])
def test_quantiles_of_students_t_are_scipys(freedom: int) -> None:
    for p in (0.6, 0.95, 0.975, 0.9995):
        assert student_quantile(freedom, p) == pytest.approx(float(special.stdtrit(freedom, p)), rel=1e-11)
    assert student_quantile(freedom, 0.975) == pytest.approx(
        float(special.stdtrit(freedom, 0.975)), rel=1e-13
    )


def test_the_normal_distribution_is_scipys() -> None:
    x, p = np.linspace(-6.0, 6.0, 101), np.linspace(0.0025, 0.9975, 101)
    assert [*map(normal_cdf, x)] == pytest.approx(special.ndtr(x), rel=1e-13)
    assert [*map(normal_quantile, p)] == pytest.approx(special.ndtri(p), abs=1e-14)


def test_a_root_is_the_very_number_that_scipy_finds() -> None:
    rng = stream("roots")
    for _ in range(300):
        shift, power, scale = rng.uniform(-3.0, 3.0), int(rng.integers(1, 6)), math.exp(rng.normal())

        def function(x: float, shift: float = shift, power: int = power, scale: float = scale) -> float:
            return scale * (x - shift) ** power + math.tanh(x - shift) - (power % 2 == 0) * 0.3

        ends = (shift - (0.0 if power % 2 == 0 else 4.0), shift + 7.0)
        assert root(function, *ends) == optimize.brentq(function, *ends)
    assert root(lambda x: x, 0.0, 2.0) == 0.0
    assert root(lambda x: x - 2.0, 0.0, 2.0) == 2.0
    with pytest.raises(ValueError, match="expected different signs at 1 and 2, got 1 and 2"):
        root(lambda x: x, 1, 2)
