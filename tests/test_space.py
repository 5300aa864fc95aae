"""Named parameters, their bounds and their scales."""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policysearch.space import Bounds, Choice, Parameter, Space, space_of


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
        ({"start": 3.0}, 6.0),  # the size of the start
        ({"start": -3.0}, 0.0),
        ({"start": 8000.0, "upper": 9000.0}, 9000.0),
        ({"start": 1e-5, "lower": 0.0}, 2e-5),
        ({"start": 0.0}, 1.0),  # one of the parameter's own units, as nothing is known
        ({"start": 3.0, "step": 1.0}, 4.0),
        ({"start": 3.0, "step": 0.25}, 3.25),
        ({"start": 3.0, "lower": 1.0}, 6.0),
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
        ({"start": 1.0, "lower": 1.5, "upper": 1.0}, "kp: expected lower <= upper, got 1.5 and 1"),
        ({"start": 1.0, "lower": 2.0, "upper": 2.0}, "kp: expected a start between 2 and 2, got 1"),
        ({"start": 0.0, "lower": 0.0, "upper": 0.0, "scale": "log"}, "kp: a logarithmic scale needs"),
        ({"start": 1.0, "lower": math.nan}, "kp: expected lower <= upper, got nan and inf"),
        ({"start": 1.0, "upper": math.nan}, "kp: expected lower <= upper, got -inf and nan"),
        ({"start": math.inf}, "kp: expected a start between -inf and inf, got inf"),
        ({"start": -1.0, "lower": 0.0}, "kp: expected a start between 0 and inf, got -1"),
        ({"start": 5.0, "upper": 2.0, "unit": "N·m"}, "kp: expected a start between -inf and 2 N·m, got 5"),
        ({"start": -1.0, "scale": "log"}, "kp: a logarithmic scale needs positive numbers, got start -1"),
        ({"start": 1.0, "lower": -2.0, "scale": "log"}, "kp: a logarithmic scale needs .* lower -2"),
        ({"start": 1.0, "step": -1.0}, "kp: expected a positive step, got -1.0"),
        ({"start": 1.0, "step": math.inf}, "kp: expected a positive step, got inf"),
        ({"start": 1.0, "step": math.nan}, "kp: expected a positive step, got nan"),
        ({"start": 1.0, "lower": 0.5, "upper": 3.0, "integer": True}, "whole number as lower, got 0.5"),
        ({"start": 1.0, "lower": 0.0, "upper": math.inf, "integer": True}, "whole number as upper, got inf"),
        (
            {"start": 1.5, "lower": 0.0, "upper": 3.0, "integer": True},
            "kp: expected a whole number as start, got 1.5",
        ),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameter("kp", **options)


def test_a_space_refuses_two_parameters_of_one_name() -> None:
    with pytest.raises(ValueError, match="space: expected different names, got a, b, a"):
        Space((Parameter("a", 0.0), Parameter("b", 0.0), Parameter("a", 1.0)))


# Whole numbers and choices ---------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(-50, 50), st.integers(5, 60), st.booleans(), st.floats(-0.5, 1.5))
def test_a_whole_number_is_the_nearest_to_what_a_plain_one_would_be(
    lower: int, width: int, log: bool, coordinate: float
) -> None:
    low = abs(lower) + 1 if log else lower
    scale: Any = "log" if log else "linear"
    plain = Parameter("n", low, low, low + width, scale=scale)
    (value,) = Space((plain,)).decode(np.array([coordinate]))
    (found,) = (
        Space((Parameter("n", low, low, low + width, scale=scale, integer=True),))
        .named(np.array([coordinate]))
        .values()
    )
    assert type(found) is int
    assert low <= found <= low + width
    assert -0.5 < found - value <= 0.5


@pytest.mark.parametrize(
    ("lower", "value", "whole"),
    [(0, 0.49999999999999994, 0), (0, 0.5, 1), (0, 2.5, 3), (-8, -0.5, 0), (-8, -1.5, -1), (-8, -1.75, -2)],
)
def test_halves_are_rounded_up(lower: int, value: float, whole: int) -> None:
    space = Space((Parameter("n", 1, lower, 8, step=1.0, integer=True), Parameter("x", 0.0)))
    assert space.named(np.array([value - lower, 0.5])) == {"n": whole, "x": 0.5}


@pytest.mark.parametrize(
    ("lower", "upper", "equally"),
    [(0, 1, True), (1, 4, True), (-2, 2, True), (1, 6, False), (0, 100, False)],
)
def test_whole_numbers_with_few_values_share_the_coordinate_equally(
    lower: int, upper: int, equally: bool
) -> None:
    space = Space((Parameter("n", lower, lower, upper, integer=True),))
    n = upper - lower + 1
    found = [space.named(np.array([z]))["n"] for z in (np.arange(20 * n) + 0.5) / (20 * n)]
    shares = [found.count(value) for value in range(lower, upper + 1)]
    assert (len(set(shares)) == 1) == equally
    assert space.domain.start[0] == pytest.approx(0.5 / n if equally else 0.0)


@pytest.mark.parametrize("options", [("a", "b"), ("a", "b", "c"), (0.1, 10.0, "auto", True)])
def test_the_options_of_a_choice_share_its_coordinate_equally(options: tuple[Any, ...]) -> None:
    space = Space((Parameter("x", 2.0, step=1.0), Choice("mode", options, options[-1])))
    m = len(options)
    fine = (np.arange(60 * m) + 0.5) / (60 * m)
    found = [space.named(np.array([0.0, z]))["mode"] for z in fine]
    assert found == [option for option in options for _ in range(60)]
    assert [space.named(np.array([0.0, z]))["mode"] for z in (-5.0, 0.0, 1.0, 5.0)] == [options[0]] * 2 + [
        options[-1]
    ] * 2
    domain = space.domain
    assert (domain.lower[1], domain.upper[1]) == (0.0, 1.0)
    assert domain.start[1] == pytest.approx(1 - 0.5 / m)
    assert space.decode(np.array([[3.0, 0.0], [4.0, 1.0]])).tolist() == [[3.0, 0.0], [4.0, m - 1.0]]


def test_a_change_of_option_leaves_the_numbers_beside_it_bit_for_bit() -> None:
    plain = (
        Parameter("kp", 1.0, 0.1, 10.0, scale="log"),
        Parameter("kd", 0.3, -1.0, 7.0),
        Parameter("q", 0.0),
    )
    rows = np.random.Generator(np.random.PCG64(1)).standard_normal((50, 5))
    mixed = Space((*plain, Choice("mode", ("a", "b"), "a"), Parameter("n", 3, 1, 9, integer=True)))
    assert mixed.decode(rows)[:, :3].tobytes() == Space(plain).decode(rows[:, :3]).tobytes()


@dataclass
class Gains:
    kp: Annotated[float, Bounds(0.1, 100.0, unit="N·m/rad", scale="log")] = 1.0
    window: Annotated[int, Bounds(1, 9)] = 3
    filter: Literal["none", "median"] = "median"
    offset: float = 0.5


def test_a_dataclass_with_annotations_is_a_space_and_its_instances_are_points_of_it() -> None:
    space = space_of(Gains)
    assert space.parameters == (
        Parameter("kp", 1.0, 0.1, 100.0, "N·m/rad", "log"),
        Parameter("window", 3, 1, 9, integer=True),
        Choice("filter", ("none", "median"), "median"),
        Parameter("offset", 0.5),
    )
    start = space.named(space.domain.start)
    found = Gains(**start)
    assert (found.window, found.filter, found.offset) == (3, "median", 0.5)
    assert found.kp == pytest.approx(1.0)


def test_what_is_named_finds_its_way_back() -> None:
    space = space_of(Gains)
    values = {"filter": "none", "kp": 10.0, "offset": -3.0, "window": 9}  # in any order
    coordinates = space.of_names(values)
    assert coordinates == pytest.approx(np.array([2 / 3, 1.0, 0.25, -6.0]))
    assert space.named(coordinates) == pytest.approx(values)
    with pytest.raises(ValueError, match="values: expected kp, window, filter, offset, got kp, extra"):
        space.of_names({"kp": 1.0, "extra": 2.0})
    with pytest.raises(ValueError, match="filter: expected one of 'none', 'median', got 'mean'"):
        space.of_names({**values, "filter": "mean"})


@pytest.mark.parametrize(
    ("options", "start", "message"),
    [
        ((), "a", r"mode: expected different options, got \(\)"),
        (("a", "a"), "a", "mode: expected different options, got"),
        ((True, 1), True, "mode: expected different options, got"),
        (("a",), "b", "mode: expected one of 'a', got 'b'"),
        (("a", "b"), "c", "mode: expected one of 'a', 'b', got 'c'"),
    ],
)
def test_a_choice_that_is_none_is_refused_by_name(options: Any, start: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Choice("mode", options, start)


def fields(**annotated: tuple[Any, Any]) -> type:
    names = {"__annotations__": {name: kind for name, (kind, _) in annotated.items()}}
    defaults = {
        name: dataclasses.field(default_factory=lambda: []) if default == [] else default
        for name, (_, default) in annotated.items()
        if default is not ...
    }
    return dataclass(type("Controller", (), {**names, **defaults}))


@pytest.mark.parametrize(
    ("kind", "default", "message"),
    [
        (float, ..., "kp: expected a default to start from, or two bounds, got none"),
        (str, 1.0, r"kp: expected float, int, bool or Literal\[…\], got <class 'str'>"),
        (float | None, 1.0, r"kp: expected float, int, bool or Literal\[…\], got float \| None"),
        (np.float32, 1.0, "kp: expected float, int, bool or Literal"),
        (list, ..., "kp: expected a default to start from, got none"),
        (bool, "yes", "kp: expected one of False, True, got 'yes'"),
        (list, [], "space: expected at least one parameter, got none"),
        (float, "1", "kp: expected a number as default, got '1'"),
        (float, True, "kp: expected a number as default, got True"),
        (int, 3, "kp: expected a whole number as lower, got -inf"),
        (Annotated[float, Bounds(2.0, 1.0)], 1.0, "kp: expected lower <= upper, got 2 and 1"),
        (Annotated[float, Bounds(0.0, 1.0, unit="s")], 2.0, "kp: expected a start between 0 and 1 s, got 2"),
        (
            Annotated[float, Bounds(0.0, 1.0, scale="log")],
            1.0,
            "kp: a logarithmic scale needs positive numbers",
        ),
        (Annotated[int, Bounds(0, 5)], 2.5, "kp: expected a whole number as start, got 2.5"),
        (Literal["a", "b"], "c", "kp: expected one of 'a', 'b', got 'c'"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused_by_name(kind: Any, default: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space_of(fields(kp=(kind, default)))


@dataclass
class Plant:
    """Beside numbers, what people keep with their gains."""

    kp: Annotated[float, Bounds(0.0, 10.0)] = 1.0
    use_filter: bool = True
    sign: Literal[True, False] = False
    law: Literal["pid"] = "pid"
    load: Annotated[float, Bounds(2.0, 2.0)] = 2.0
    mass: float = dataclasses.field(default=3.0, init=False)
    setpoint: list[float] = dataclasses.field(default_factory=lambda: [0.0, 1.0])
    label: str = "motor"
    limit: float | None = None


def test_fields_that_are_no_numbers_are_no_parameters_and_a_truth_value_is_a_choice() -> None:
    space = space_of(Plant)
    assert space.parameters == (
        Parameter("kp", 1.0, 0.0, 10.0),
        Choice("use_filter", (False, True), True),
        Choice("sign", (True, False), False),
        Choice("law", ("pid",), "pid"),
        Parameter("load", 2.0, 2.0, 2.0),
    )
    assert [parameter.name for parameter in space.searched] == ["kp", "use_filter", "sign"]
    found = Plant(**space.named(np.array([0.25, 0.0, 0.0])))
    assert found == Plant(2.5, use_filter=False, sign=True)
    assert (type(found.use_filter), found.mass, found.setpoint) == (bool, 3.0, [0.0, 1.0])


# Held parameters -----------------------------------------------------------------------------------------

HELD = (
    Parameter("load", 2, 2, 2, unit="kg"),
    Parameter("n", 4, 4, 4, integer=True),
    Parameter("k", 0.5, 0.5, 0.5, scale="log", step=0.1),
    Choice("mode", ("a",), "a"),
)
FREE = (
    Parameter("kp", 1.0, 0.1, 10.0, scale="log"),
    Parameter("q", 0.3, step=0.2),
    Parameter("m", 3, 1, 9, integer=True),
    Choice("filter", ("none", "mean"), "mean"),
)


@pytest.mark.parametrize("place", range(len(FREE) + 1))
def test_held_parameters_have_their_values_and_no_coordinate_wherever_they_stand(place: int) -> None:
    plain, space = Space(FREE), Space((*FREE[:place], *HELD, *FREE[place:]))
    rows = np.random.Generator(np.random.PCG64(1)).standard_normal((50, 4))
    assert space.decode(rows).tobytes() == plain.decode(rows).tobytes()
    assert space.encode(space.decode(rows)).tobytes() == plain.encode(plain.decode(rows)).tobytes()
    for name in ("start", "lower", "upper"):
        assert getattr(space.domain, name).tobytes() == getattr(plain.domain, name).tobytes()
    named = space.named(rows[0])
    assert tuple(named) == space.names
    assert named == plain.named(rows[0]) | {"load": 2.0, "n": 4, "k": 0.5, "mode": "a"}
    assert [type(named[name]) for name in ("load", "n", "k")] == [float, int, float]
    assert space.of_names(named).tobytes() == plain.of_names(plain.named(rows[0])).tobytes()
    assert space.within(0.1).searched == plain.within(0.1).parameters
    assert [p for p in space.within(0.1).parameters if p.held] == list(HELD)


def test_another_value_of_a_held_parameter_is_refused() -> None:
    space = Space((Parameter("kp", 1.0), Parameter("load", 2.0, 2.0, 2.0)))
    with pytest.raises(ValueError, match=r"load: expected 2\.0, at which it is held, got 3\.0"):
        space.of_names({"kp": 1.0, "load": 3.0})
    with pytest.raises(ValueError, match="values: expected kp, load, got kp"):
        space.of_names({"kp": 1.0})


def test_a_space_with_nothing_to_search_is_refused() -> None:
    with pytest.raises(
        ValueError, match="space: expected a parameter to search, got only held ones: load, n"
    ):
        Space(HELD)


def test_only_a_dataclass_has_fields() -> None:
    with pytest.raises(TypeError, match="space: expected a dataclass, got <class 'int'>"):
        space_of(int)


# Margins -------------------------------------------------------------------------------------------------


def test_a_margin_moves_both_ends_inwards_on_the_scale_of_the_parameter() -> None:
    space = Space(
        (
            Parameter("offset", 3.0, 1.0, 11.0, unit="V", step=0.5),
            Parameter("kp", 1.0, 0.01, 100.0, scale="log"),
            Parameter("kd", 0.5, lower=0.0),  # only one end
            Parameter("weight", 0.0),
            Parameter("n", 3, 1, 9, integer=True),  # 1.8 and 8.2
            Parameter("m", 50, 0, 100, integer=True),
            Parameter("w", 8, 1, 1024, integer=True, scale="log"),  # 2 and 512
            Choice("filter", ("none", "median"), "none"),
        )
    )
    found = space.within(0.1).parameters
    assert [(p.lower, p.upper) for p in found[:2]] == [
        pytest.approx((2.0, 10.0)),
        pytest.approx((10**-1.6, 10**1.6)),
    ]
    assert [(p.lower, p.upper) for p in found[4:7]] == [(2, 8), (10, 90), (2, 512)]
    assert (found[2], found[3], found[7]) == (space.parameters[2], space.parameters[3], space.parameters[7])
    kept = [
        [(p.name, p.start, p.unit, p.scale, p.step, p.integer) for p in s] for s in (found, space.parameters)
    ]
    assert kept[0] == kept[1]
    assert space.within(0.0) == space


def test_whole_ends_are_not_rounded_away_by_the_last_digit() -> None:
    for lower in (0, -7, 10**6):
        (found,) = (
            Space((Parameter("n", lower + 50, lower, lower + 100, integer=True),)).within(0.07).parameters
        )
        assert (found.lower, found.upper) == (lower + 7, lower + 93)


@settings(deadline=None)
@given(parameters(), st.floats(0.0, 0.49))
def test_a_margin_only_ever_narrows_and_leaves_as_much_at_either_end(
    parameter: Parameter, margin: float
) -> None:
    space = Space((dataclasses.replace(parameter, step=None),))
    try:
        narrow = space.within(margin)
    except ValueError as error:
        assert "a margin of" in str(error)
        return
    (low,), (high,) = space.encode(narrow.bounds[0]), space.encode(narrow.bounds[1])
    if math.isfinite(parameter.lower) and math.isfinite(parameter.upper):
        assert (low, high) == pytest.approx((margin, 1 - margin), abs=1e-9)
    else:
        assert narrow == space


@pytest.mark.parametrize("margin", [-0.1, 0.5, math.nan])
def test_a_margin_that_leaves_nothing_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match=r"margin: expected at least 0 and less than 0\.5, got"):
        Space((Parameter("kp", 1.0, 0.0, 2.0),)).within(margin)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (Parameter("kp", 0.5, 0.0, 10.0, unit="V"), "kp: expected a start between 1 and 9 V, got 0.5; a margin of 0.1"),
        (Parameter("n", 1, 1, 2, integer=True), "n: expected lower < upper, got 2 and 1; a margin of 0.1 moved its bounds from 1 and 2"),
        (Parameter("n", 2, 1, 3, integer=True), "n: expected lower < upper, got 2 and 2; a margin of 0.1"),
    ],
)  # fmt: skip
def test_what_a_margin_breaks_is_named_with_the_margin(parameter: Parameter, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space((Parameter("other", 1.0, 0.0, 2.0), parameter)).within(0.1)


@pytest.mark.parametrize(
    ("parameter", "start"),
    [
        (Parameter("x", lower=1.0, upper=4.0), 2.5),
        (Parameter("x", lower=1.0, upper=4.0, scale="log"), 2.0),
        (Parameter("x", lower=1, upper=6, integer=True), 4.0),  # 3.5, halves up
        (Parameter("x", lower=0, upper=1, integer=True), 1.0),
        (Parameter("x", lower=1, upper=100, scale="log", integer=True), 10.0),
        (Parameter("x", lower=-1e308, upper=1e308), 0.0),  # whose width no float holds
        (Parameter("x", lower=1e-300, upper=1e300, scale="log"), 1.0),
        (Parameter("x", lower=2.0, upper=2.0), 2.0),
    ],
)
def test_a_start_that_is_left_out_is_the_middle_of_the_bounds_on_their_scale(
    parameter: Parameter, start: float
) -> None:
    assert parameter.start == pytest.approx(start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "x: expected a start, or two bounds, in whose middle it is then, got bounds -inf and inf"),
        ({"lower": 1.0}, "x: expected a start, or two bounds, in whose middle it is then, got bounds 1 and inf"),
        ({"lower": 0.0, "upper": 1.0, "scale": "log"}, "x: a logarithmic scale needs positive numbers, got lower 0"),
    ],
)  # fmt: skip
def test_a_start_is_left_out_between_two_bounds_only(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Parameter("x", **options)


def test_a_field_without_a_default_starts_in_the_middle() -> None:
    @dataclass
    class Gains:
        kp: Annotated[float, Bounds(1.0, 4.0, scale="log")]
        window: Annotated[int, Bounds(1, 9)]
        on: bool = True

    assert [p.start for p in space_of(Gains).parameters] == [2.0, 5.0, True]


GAINS = Space(
    (Parameter("kp", 1.0, 0.0, 9.0), Parameter("n", 2, 1, 9, integer=True), Choice("f", ("a", "b"), "a"))
)


def test_parameters_are_held_at_given_values() -> None:
    space = GAINS.fixed({"n": 4, "f": "b"})
    assert [p.name for p in space.searched] == ["kp"]
    assert space.named(space.domain.start) == {"kp": 1.0, "n": 4, "f": "b"}
    assert GAINS.fixed({}) == GAINS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kq": 1.0}, "fixed: expected some of kp, n, f, got kq"),
        ({"kp": 10.0}, "kp: expected a start between 0 and 9, got 10"),
        ({"kp": "3"}, "kp: expected a number, got '3'"),
        ({"kp": True}, "kp: expected a number, got True"),
        ({"n": 2.5}, "n: expected a whole number as start, got 2.5"),
        ({"f": "c"}, "f: expected one of 'a', 'b', got 'c'"),
        (
            {"kp": 1.0, "n": 1, "f": "a"},
            "space: expected a parameter to search, got only held ones: kp, n, f",
        ),
    ],
)
def test_a_value_to_hold_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GAINS.fixed(values)
