"""The front of what nothing else beats: by its definition, on any costs."""

import numpy as np
import pytest

from policysearch.core import Array
from policysearch.tune.pareto import front


def by_definition(costs: Array) -> Array:
    """Not NaN, and no row is nowhere larger and somewhere smaller."""
    beaten = [
        any((other <= row).all() and (other < row).any() for other in costs) or np.isnan(row).any()
        for row in costs
    ]
    return ~np.array(beaten)


@pytest.mark.parametrize("quantities", [1, 2, 3])
@pytest.mark.parametrize("levels", [4, 1000])
def test_the_front_is_what_its_definition_says(quantities: int, levels: int) -> None:
    rng = np.random.default_rng(7)
    for _ in range(30):
        costs = rng.integers(levels, size=(40, quantities)).astype(float)  # few levels: many ties
        costs[rng.random(costs.shape) < 0.05] = np.nan
        np.testing.assert_array_equal(front(costs), by_definition(costs))


def test_equal_candidates_are_on_the_front_together_and_failed_ones_never() -> None:
    costs = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [0.0, np.nan], [np.inf, 0.0]])
    assert front(costs).tolist() == [True, True, True, False, False, True]
    assert front(np.empty((0, 2))).tolist() == []
