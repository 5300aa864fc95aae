"""The product of compiled networks: the sums are those that its docstring writes down, to the last bit."""

import numpy as np
import pytest
from numba import TypingError, njit

from policysearch.elementary import fma
from policysearch.policies.products import affine


@njit
def layer(params, scratch, at):
    """`affine`, which only compiled code can call."""
    affine(params, scratch, at)


@njit
def written_out(W, x, z):
    """The sums of `affine`, one number after the other."""
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
    params, expected = np.concatenate([np.ones(3), W.ravel(), before]), before.copy()
    scratch = np.concatenate([np.ones(2), x, np.full(rows + 1, 7.0)])
    layer(params, scratch, (3, 2, 2 + columns, rows, columns))
    written_out(W, x, expected)
    found = scratch[2 + columns : -1]
    assert found.tobytes() == expected.tobytes()
    np.testing.assert_allclose(found, before + W @ x, rtol=1e-12, atol=1e-12)
    assert np.array_equal(scratch[[0, 1, -1]], [1.0, 1.0, 7.0])


def test_arrays_with_gaps_are_refused() -> None:
    """Their numbers do not lie where the instructions read them."""
    with pytest.raises(TypingError, match="expected contiguous arrays"):
        layer(np.ones(40)[::2], np.ones(8), (0, 0, 4, 4, 4))
