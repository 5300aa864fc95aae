"""The checks of types that the tests run with."""

import jaxtyping
import numpy as np
import pytest
from jaxtyping import Float
from typechecker import check

from policysearch.core import Array


def test_wrong_shapes_are_refused_whatever_else_is_checked() -> None:
    @jaxtyping.jaxtyped(typechecker=check)
    def total(one: Float[Array, "n"], other: Float[Array, "n"]) -> Float[Array, "n"]:
        return one + other

    assert total(np.ones(2), np.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(jaxtyping.TypeCheckError, match="total"):
        total(np.ones(2), np.ones(1))


def test_by_day_the_first_calls_of_a_function_are_checked(request: pytest.FixtureRequest) -> None:
    @jaxtyping.jaxtyped(typechecker=check)
    def doubled(x: int) -> int:
        return 2 * x

    for _ in range(99):
        doubled(1)
    with pytest.raises(jaxtyping.TypeCheckError, match="doubled"):
        doubled("a")  # type: ignore[arg-type]
    if not request.config.getoption("--all-types"):
        assert doubled("a") == "aa"  # type: ignore[arg-type,comparison-overlap]
