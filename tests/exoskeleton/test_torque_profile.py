"""The torque profile of an ankle exoskeleton: the curve and its constraints."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from policysearch.core import Array
from policysearch.exoskeleton.torque_law import GENERIC as POGGENSEE_COLLINS_2021
from policysearch.exoskeleton.torque_profile import (
    BIAS,
    LATEST_END,
    SLADE_2022,
    SPACE,
    area,
    project,
    slope,
    space,
    torque,
    torque_and_slope_at,
    why_infeasible,
)
from policysearch.seeding import stream

GENERIC = [np.array(POGGENSEE_COLLINS_2021), np.array(SLADE_2022)]
LAWS = [*GENERIC, np.array([1.0, 40.0, 40.0, 20.0]), np.array([0.3, 55.0, 10.0, 5.0])]
every_law = pytest.mark.parametrize("law", LAWS, ids=str)
with_and_without_bias = pytest.mark.parametrize("bias", [0.0, BIAS / 70.0])

numbers = st.floats(-1e300, 1e300)
laws = st.tuples(st.floats(-0.5, 2.0), st.floats(20.0, 70.0), st.floats(0.0, 60.0), st.floats(0.0, 40.0)).map(
    np.array
)
wild_laws = st.tuples(*[st.one_of(numbers, st.just(np.inf), st.just(-np.inf))] * 4).map(np.array)


def at(law: Array, *stride: float, bias: float = 0.0) -> Array:
    return torque(law, np.array(stride), bias)


def cubic(left: float, right: float, conditions: list[tuple[float, int, float]]) -> Any:
    """The cubic whose derivatives of some orders have some values at `left` or `right`, by a linear system."""
    width, rows, values = right - left, [], []
    for where, order, value in conditions:
        monomials = np.polynomial.polynomial.polyder(np.eye(4), order, axis=0)
        powers = np.power((where - left) / width, np.arange(len(monomials)))
        rows.append(powers @ monomials / width**order)
        values.append(value)
    coefficients = np.linalg.solve(np.array(rows), np.array(values))
    return lambda t: np.polynomial.polynomial.polyval((t - left) / width, coefficients)


@every_law
@with_and_without_bias
def test_the_closed_form_is_the_spline_of_the_source(law: Array, bias: float) -> None:
    height, peak, onset, end = law[0], law[1], law[1] - law[2], law[1] + law[3]
    rise = cubic(onset, peak, [(onset, 0, bias), (onset, 1, 0.0), (peak, 0, height), (peak, 1, 0.0)])
    fall = cubic(peak, end, [(peak, 0, height), (peak, 1, 0.0), (end, 0, bias), (end, 2, 0.0)])
    before, after = np.linspace(onset, peak, 201), np.linspace(peak, end, 201)
    assert torque(law, before[1:], bias) == pytest.approx(rise(before[1:]), abs=1e-12)
    assert torque(law, after[:-1], bias) == pytest.approx(fall(after[:-1]), abs=1e-12)


def test_the_middle_of_rise_and_fall_is_what_one_works_out_by_hand() -> None:
    law = np.array([0.8, 50.0, 20.0, 10.0])
    # s = ½: rise 3/4 − 2/8 = 1/2, fall 1 − 1.5/4 + 0.5/8 = 11/16; slopes 6/4/20 and (−3/2 + 1.5/4)/10, times 0.8
    assert at(law, 40.0, 55.0) == pytest.approx([0.4, 0.55])
    assert slope(law, np.array([40.0, 55.0])) == pytest.approx([0.06, -0.09])
    assert area(law) == pytest.approx(0.8 * (10.0 + 6.25))
    # with a bias of 0.2 the curve has the amplitude 0.6; lines from 0 to 30 % and from 60 to 65 %
    assert at(law, 15.0, 40.0, 55.0, 62.5, bias=0.2) == pytest.approx([0.1, 0.5, 0.6125, 0.1])
    assert slope(law, np.array([15.0, 40.0, 62.5]), 0.2) == pytest.approx([0.2 / 30, 0.045, -0.04])


@settings(deadline=None)
@given(laws, st.floats(-100.0, 200.0))
def test_the_torque_is_zero_outside_and_between_zero_and_the_peak_inside(law: Array, t: float) -> None:
    law = project(law)
    found = at(law, t)[0]
    assert 0.0 <= found <= law[0] * (1 + 1e-15)
    if not law[1] - law[2] < t < law[1] + law[3]:
        assert found <= 1e-14


@every_law
@with_and_without_bias
def test_without_heel_strike_to_65_percent_there_is_no_torque(law: Array, bias: float) -> None:
    assert (at(law, -50.0, -1e-9, LATEST_END + 1e-9, 100.0, 1e300, bias=bias) == 0.0).all()


@settings(deadline=None)
@given(laws)
def test_the_highest_torque_is_the_peak_torque_at_the_peak_time(law: Array) -> None:
    law = project(law)
    assert at(law, law[1])[0] == law[0]
    around = law[1] + np.linspace(-1.0, 1.0, 21) * 5.0
    assert (torque(law, around) <= law[0] * (1 + 1e-15)).all()


@every_law
@with_and_without_bias
def test_torque_and_slope_are_continuous_where_the_pieces_meet(law: Array, bias: float) -> None:
    onset, peak, end, h = law[1] - law[2], law[1], law[1] + law[3], 1e-7
    places = [place for place in (onset, peak, end) if h < place < LATEST_END - h]
    for place in places:
        left, right = at(law, place - h, place + h, bias=bias)
        assert left == pytest.approx(right, abs=1e-6)
    for place in (onset, peak) if bias == 0.0 else (peak,):
        left, right = slope(law, np.array([place - h, place + h]), bias)
        assert left == pytest.approx(0.0, abs=1e-6)
        assert right == pytest.approx(0.0, abs=1e-6)


@every_law
@with_and_without_bias
def test_the_slope_is_the_derivative_of_the_torque(law: Array, bias: float) -> None:
    onset, end, h = law[1] - law[2], law[1] + law[3], 1e-5
    t = stream(1).uniform(0.0, 70.0, 500)
    smooth = np.min(np.abs(t[:, None] - [0.0, onset, law[1], end, LATEST_END]), axis=1) > 2 * h
    t = t[smooth]
    numeric = (torque(law, t + h, bias) - torque(law, t - h, bias)) / (2 * h)
    assert slope(law, t, bias) == pytest.approx(numeric, abs=1e-8)


@every_law
@with_and_without_bias
def test_the_fall_ends_with_its_steepest_slope(law: Array, bias: float) -> None:
    end, steepest = law[1] + law[3], -1.5 * (law[0] - bias) / law[3]
    assert slope(law, np.array([end - 1e-9]), bias)[0] == pytest.approx(steepest)
    falling = slope(law, np.linspace(law[1], end, 100), bias)
    assert (falling >= steepest - 1e-12).all()


@every_law
@with_and_without_bias
def test_the_area_is_the_integral_of_the_torque(law: Array, bias: float) -> None:
    corners = [0.0, law[1] - law[2], law[1], law[1] + law[3], LATEST_END]
    pieces = [
        quad(lambda t: at(law, t, bias=bias)[0], left, right, epsabs=1e-12)[0]
        for left, right in itertools.pairwise(corners)
        if right > left
    ]
    assert area(law, bias) == pytest.approx(sum(pieces), abs=1e-9)


def test_many_laws_at_once_have_the_bits_of_each_alone() -> None:
    rng, stride = stream(2), np.linspace(0.0, 100.0, 37)
    many = rng.uniform([0.0, 35.0, 10.0, 5.0], [1.0, 55.0, 40.0, 20.0], (3, 5, 4))
    together = torque(many, stride, 0.03)
    assert together.shape == (3, 5, 37)
    assert slope(many, stride).shape == (3, 5, 37)
    assert torque(many[0, 0], stride).shape == (37,)
    assert area(many).shape == (3, 5)
    for i in np.ndindex(3, 5):
        alone = [torque_and_slope_at(many[i], t, 0.03)[0] for t in stride]
        assert together[i].tobytes() == np.array(alone).tobytes()
        assert area(many)[i] == area(many[i])


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_law_with_a_poisoned_number_gives_no_torque_in_its_row_only(poison: float) -> None:
    stride = np.array([0.0, 40.0, 52.91, 60.0, 90.0])
    for i in range(4):
        pair = np.array([POGGENSEE_COLLINS_2021] * 2)
        pair[0, i] = poison
        assert np.isnan(torque(pair, stride)[0]).all()
        assert torque(pair, stride)[1].tobytes() == torque(GENERIC[0], stride).tobytes()
    assert np.isnan(at(GENERIC[0], poison)).all()


@pytest.mark.parametrize("i", [2, 3])
@pytest.mark.parametrize("duration", [0.0, -1.0])
def test_a_rise_or_fall_that_takes_no_time_gives_no_torque(i: int, duration: float) -> None:
    law = GENERIC[0].copy()
    law[i] = duration
    assert np.isnan(at(law, 0.0, 40.0, law[1], 60.0)).all()


def test_the_ranges_are_the_published_ones() -> None:
    assert [p.unit for p in SPACE.parameters] == ["N·m/kg", "% stride", "% stride", "% stride"]
    lower, upper = SPACE.bounds
    assert lower.tolist() == [0.0, 35.0, 10.0, 5.0]
    assert upper.tolist() == [1.0, 55.0, 40.0, 20.0]
    assert space(0.75).bounds[1].tolist() == [0.75, 55.0, 40.0, 20.0]
    assert SPACE.domain.start.tolist() == [0.5] * 4
    assert why_infeasible(SPACE.decode(SPACE.domain.start)) == ""


@pytest.mark.parametrize("upper", [0.0, -1.0, np.nan, np.inf])
def test_an_upper_torque_that_is_not_positive_is_refused(upper: float) -> None:
    with pytest.raises(ValueError, match=r"upper_torque: expected a positive number of N·m/kg, got"):
        space(upper)


def test_the_generic_laws_are_feasible() -> None:
    for law in GENERIC:
        assert why_infeasible(law) == ""
    for height, rise in (
        (0.641, 0.587 * 40.0),
        (0.727, 0.709 * 40.0),
        (0.809, 0.85 * 40.0),
    ):  # by walking speed
        assert why_infeasible(np.array([height, SLADE_2022[1], rise, SLADE_2022[3]])) == ""


@pytest.mark.parametrize(
    ("law", "reason"),
    [
        ([0.5, 35.0, 40.0, 10.0],
         "onset: expected at least 0 % stride, got peak time − rise time = 35.0 − 40.0 = -5.0 % stride"),
        ([0.5, 50.0, 40.0, 20.0],
         "end: expected at most 65 % stride, got peak time + fall time = 50.0 + 20.0 = 70.0 % stride"),
        ([1.1, 50.0, 20.0, 10.0], "peak torque: expected 0 to 1 N·m/kg, got 1.1"),
        ([0.5, 50.0, 20.0, 4.0], "fall time: expected 5 to 20 % stride, got 4.0"),
        ([0.5, np.nan, 20.0, 10.0], "peak time: expected 35 to 55 % stride, got nan"),
        ([0.5, 40.0, 40.0, 20.0], ""),
        ([0.5, 45.0, 40.0, 20.0], ""),
    ],
)  # fmt: skip
def test_what_keeps_a_law_from_being_feasible_is_said_in_one_line(law: list[float], reason: str) -> None:
    assert why_infeasible(np.array(law)) == reason


@settings(deadline=None)
@given(st.one_of(laws, wild_laws), st.booleans(), st.integers(0, 3), st.integers(-2, 2))
def test_a_law_is_feasible_if_and_only_if_it_keeps_all_ten_limits(
    law: Array, at_the_edge: bool, i: int, ulps: int
) -> None:
    law = project(law) if at_the_edge else law.copy()
    law[i] += ulps * np.spacing(law[i]) if np.isfinite(law[i]) else 0.0
    height, peak, rise, fall = law.tolist()
    inside = 0.0 <= height <= 1.0 and 35.0 <= peak <= 55.0 and 10.0 <= rise <= 40.0 and 5.0 <= fall <= 20.0
    assert (why_infeasible(law) == "") == (inside and rise <= peak and fall <= LATEST_END - peak)


def test_a_smaller_upper_torque_makes_fewer_laws_feasible() -> None:
    assert "peak torque: expected 0 to 0.4" in why_infeasible(GENERIC[0], 0.4)
    assert project(GENERIC[0], 0.4).tolist() == [0.4, *POGGENSEE_COLLINS_2021[1:]]


@settings(deadline=None)
@given(st.one_of(laws, wild_laws), st.sampled_from([1.0, 0.3]))
def test_a_projected_law_is_feasible_and_projects_to_itself(law: Array, upper: float) -> None:
    given_law = law.copy()
    projected = project(law, upper)
    assert np.isfinite(projected).all()
    assert why_infeasible(projected, upper) == ""
    assert project(projected, upper).tobytes() == projected.tobytes()
    assert law.tobytes() == given_law.tobytes()


@settings(deadline=None)
@given(laws)
def test_projection_changes_no_feasible_law(law: Array) -> None:
    if why_infeasible(law) == "":
        assert project(law).tolist() == law.tolist()
    assert project(law)[1] == np.clip(law[1], 35.0, 55.0)


@settings(deadline=None)
@given(st.floats(35.0, 55.0), st.integers(-2, 2), st.integers(-2, 2))
def test_a_law_on_the_edge_is_feasible_or_changed_but_never_both(peak: float, i: int, j: int) -> None:
    rise = min(peak, 40.0) + i * np.spacing(40.0)
    fall = min(LATEST_END - peak, 20.0) + j * np.spacing(20.0)
    law = np.array([0.5, peak, rise, fall])
    assert (why_infeasible(law) == "") == (project(law).tolist() == law.tolist())


def test_projection_shortens_rise_and_fall_and_keeps_torque_and_peak() -> None:
    found = project(np.array([[0.5, 36.0, 40.0, 20.0], [2.0, 54.0, 5.0, 20.0]]))
    assert found.tolist() == [[0.5, 36.0, 36.0, 20.0], [1.0, 54.0, 10.0, 11.0]]
    assert np.isnan(project(np.array([0.5, np.nan, 20.0, 10.0]))[1])
