"""The product of compiled networks: the sums are those that its docstring writes down, to the last bit."""

import numpy as np
import pytest
from numba import TypingError, njit

from policysearch.elementary import fma
from policysearch.policies.products import add_product


@njit
def written_out(W, x, z):
    """The sums of `add_product`, one number after the other."""
    rows, columns = W.shape
    whole = columns - columns % 4
    for i in range(rows):
        s = np.zeros(4)
        for j in range(whole):
            s[j % 4] = fma(W[i, j], x[j], s[j % 4])
        total = (s[0] + s[1]) + (s[2] + s[3])
        for j in range(whole, columns):
            total = fma(W[i, j], x[j], total)
        z[i] += total


@pytest.mark.parametrize("columns", [1, 3, 4, 7, 64])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 64])
def test_each_sum_is_the_one_that_is_written_down(rows: int, columns: int) -> None:
    """Rows and columns that fill vectors and that do not."""
    rng = np.random.default_rng(rows * 100 + columns)
    W, x, before = rng.normal(size=(rows, columns)), rng.normal(size=columns), rng.normal(size=rows)
    found, expected = before.copy(), before.copy()
    add_product(W, x, found)
    written_out(W, x, expected)
    assert found.tobytes() == expected.tobytes()
    np.testing.assert_allclose(found, before + W @ x, rtol=1e-12, atol=1e-12)


def test_arrays_with_gaps_are_refused() -> None:
    """Their numbers do not lie where the instructions read them."""
    W = np.ones((4, 8))
    with pytest.raises(TypingError, match="expected contiguous arrays"):
        add_product(W[:, ::2], np.ones(4), np.zeros(4))
