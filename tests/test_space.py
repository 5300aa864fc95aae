"""Named parameters, their bounds and their scales."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policysearch.space import Parameter, Space, unbounded


@st.composite
def parameters(draw: st.DrawFn, name: str = "x") -> Parameter:
    """Linear or logarithmic, with no, one or two bounds, with or without a step."""
    log = draw(st.booleans())
    numbers = st.floats(1e-3, 1e3) if log else st.floats(-1e3, 1e3)
    lower, start, upper = sorted(draw(st.tuples(numbers, numbers, numbers)))
    lower, upper = draw(st.sampled_from([lower, -math.inf])), draw(st.sampled_from([upper, math.inf]))
    assume(upper - lower > 1e-2 * max(1.0, abs(start)))
    step = draw(st.one_of(st.none(), st.floats(1e-2, 10.0)))
    return Parameter(name, start, lower, upper, scale="log" if log else "linear", step=step)


@settings(deadline=None)
@given(parameters(), st.floats(0.0, 1.0))
def test_what_is_encoded_decodes_to_itself(parameter: Parameter, where: float) -> None:
    space = Space((parameter,))
    low = max(parameter.lower, 1e-3 if parameter.scale == "log" else -1e3)
    value = np.array([low + where * (min(parameter.upper, 1e3) - low)])
    assume(parameter.lower <= value[0] <= parameter.upper)
    assert space.decode(space.encode(value)) == pytest.approx(value, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(parameters(), st.floats(-1e9, 1e9))
def test_no_coordinate_decodes_to_a_value_outside_the_bounds(parameter: Parameter, z: float) -> None:
    value = Space((parameter,)).decode(np.array([z]))[0]
    assert parameter.lower <= value <= parameter.upper


@settings(deadline=None)
@given(parameters())
def test_the_domain_of_a_parameter_holds_its_start_and_ends_where_its_bounds_are(
    parameter: Parameter,
) -> None:
    space = Space((parameter,))
    domain = space.domain
    assert space.decode(domain.start) == pytest.approx(parameter.start)
    for coordinate, bound in ((domain.lower, parameter.lower), (domain.upper, parameter.upper)):
        if math.isfinite(bound):
            assert space.decode(coordinate) == pytest.approx(bound)
        else:
            assert coordinate[0] == bound


@settings(deadline=None)
@given(parameters())
def test_the_range_of_a_bounded_parameter_is_one_unit_unless_there_is_a_step(parameter: Parameter) -> None:
    low, high = parameter.lower, parameter.upper
    assume(math.isfinite(low) and math.isfinite(high))
    domain = Space((parameter,)).domain
    width = math.log(high / low) if parameter.scale == "log" else high - low
    assert domain.lower == pytest.approx(0.0, abs=1e-12)
    assert domain.upper == pytest.approx(1.0 if parameter.step is None else width / parameter.step)


@pytest.mark.parametrize(
    ("options", "moved"),
    [
        ({"start": 3.0}, 4.0),  # one of the parameter's own units
        ({"start": 3.0, "step": 0.25}, 3.25),
        ({"start": 3.0, "lower": 1.0}, 4.0),
        ({"start": 3.0, "lower": 1.0, "upper": 9.0, "step": 0.5}, 3.5),
        ({"start": 3.0, "scale": "log"}, 3.0 * math.e),
        ({"start": 3.0, "scale": "log", "step": math.log(2.0)}, 6.0),
        ({"start": 3.0, "scale": "log", "lower": 0.1, "step": math.log(2.0)}, 6.0),
        ({"start": 0.1, "scale": "log", "lower": 0.1, "upper": 10.0}, 10.0),
        ({"start": -1.0, "lower": -1.0, "upper": 4.0}, 4.0),
    ],
)
def test_one_unit_of_the_optimizer_is_a_step_of_the_parameter(options: dict[str, Any], moved: float) -> None:
    space = Space((Parameter("x", **options),))
    assert space.decode(space.domain.start + 1.0) == pytest.approx(moved)


def test_many_candidates_are_decoded_as_each_alone_in_the_order_of_the_names() -> None:
    space = Space(
        (
            Parameter("gain", 1.0, 0.1, 10.0, scale="log"),
            Parameter("offset", 0.0),
            Parameter("q", 2.0, 0.0, 4.0),
        )
    )
    rows = np.array([[0.0, 1.0, 0.5], [1.0, -2.0, 0.25], [0.5, 0.0, 1.0]])
    many = space.decode(rows)
    assert many == pytest.approx(np.array([[0.1, 1.0, 2.0], [10.0, -2.0, 1.0], [1.0, 0.0, 4.0]]))
    for row, values in zip(rows, many, strict=True):
        named = space.named(row)
        assert list(named) == ["gain", "offset", "q"] == list(space.names)
        assert list(named.values()) == values.tolist()
        assert all(type(value) is float for value in named.values())
    assert space.encode(many) == pytest.approx(rows, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1.0, "lower": 1.0, "upper": 1.0}, "kp: expected lower < upper, got 1 and 1"),
        ({"start": 1.0, "lower": math.nan}, "kp: expected lower < upper, got nan and inf"),
        ({"start": 1.0, "upper": math.nan}, "kp: expected lower < upper, got -inf and nan"),
        ({"start": math.inf}, "kp: expected a start between -inf and inf, got inf"),
        ({"start": -1.0, "lower": 0.0}, "kp: expected a start between 0 and inf, got -1"),
        ({"start": 5.0, "upper": 2.0, "unit": "N·m"}, "kp: expected a start between -inf and 2 N·m, got 5"),
        ({"start": -1.0, "scale": "log"}, "kp: a logarithmic scale needs positive numbers, got start -1"),
        ({"start": 1.0, "lower": -2.0, "scale": "log"}, "kp: a logarithmic scale needs .* lower -2"),
        ({"start": 1.0, "step": -1.0}, "kp: expected a positive step, got -1.0"),
        ({"start": 1.0, "step": math.inf}, "kp: expected a positive step, got inf"),
        ({"start": 1.0, "step": math.nan}, "kp: expected a positive step, got nan"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameter("kp", **options)


def test_a_space_refuses_two_parameters_of_one_name() -> None:
    with pytest.raises(ValueError, match="space: expected different names, got a, b, a"):
        Space((Parameter("a", 0.0), Parameter("b", 0.0), Parameter("a", 1.0)))


def test_the_weights_of_a_policy_need_a_name_each() -> None:
    with pytest.raises(ValueError, match="zip"):
        unbounded(["a", "b"], np.zeros(3))
    assert unbounded(["a", "b"], np.array([1.0, 2.0])).named(np.array([3.0, 4.0])) == {"a": 3.0, "b": 4.0}
