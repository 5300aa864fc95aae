"""Bounded steps from one law to the next, the fewest of them, and laws in a new region."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.exoskeleton.torque_law import GENERIC
from policysearch.exoskeleton.torque_profile import SPACE, project
from policysearch.hitl.transition import steps, unvisited
from policysearch.seeding import stream

ROUNDING = 1e-9
laws = st.lists(st.floats(-100.0, 100.0), min_size=4, max_size=4).map(np.array)
widths = st.lists(st.floats(0.25, 1e6), min_size=4, max_size=4).map(np.array)


@settings(deadline=None)
@given(laws, laws, widths)
def test_no_parameter_changes_by_more_than_its_limit_and_every_law_is_between_the_two(
    previous: Any, following: Any, limits: Any
) -> None:
    before = previous.copy(), following.copy(), limits.copy()
    found = steps(previous, following, limits)
    assert found[-1].tobytes() == following.tobytes()
    changes = np.diff(found, axis=0, prepend=previous[None])
    assert (np.abs(changes) <= limits + ROUNDING).all()
    assert ((np.minimum(previous, following) <= found) & (found <= np.maximum(previous, following))).all()
    assert changes == pytest.approx(np.broadcast_to(changes[0], changes.shape), abs=ROUNDING)  # equal shares
    for array, copy in zip((previous, following, limits), before, strict=True):
        assert array.tobytes() == copy.tobytes()
        assert not np.shares_memory(array, found)


@settings(deadline=None)
@given(laws, laws, widths)
def test_the_longest_steps_within_the_limits_need_as_many(previous: Any, following: Any, limits: Any) -> None:
    count, law = 0, previous
    while count == 0 or np.abs(law - following).max() > ROUNDING:
        change = following - law  # as far as no parameter changes by more than its limit
        law = law + change / max(np.max(np.abs(change) / limits), 1.0)
        count += 1
    assert len(steps(previous, following, limits)) == count


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 1.0))
def test_the_laws_between_two_feasible_ones_are_feasible(seed: int, size: float) -> None:
    rng, (lower, upper) = stream(seed), SPACE.bounds
    previous, following = project(rng.uniform(lower - 5.0, upper + 5.0, (2, 4)))
    found = steps(previous, following, size * (upper - lower))
    assert project(found) == pytest.approx(found, abs=ROUNDING)


def test_the_steps_are_counted_but_for_rounding() -> None:
    limits = np.array([0.1, 2.0])
    # (0.9 − 0.6)/0.1 is 3.0000000000000004 in floating point
    found = steps(np.array([0.6, 50.0]), np.array([0.9, 53.0]), limits)
    assert found == pytest.approx(np.array([[0.7, 51.0], [0.8, 52.0], [0.9, 53.0]]))
    assert len(steps(np.array([0.6, 50.0]), np.array([0.9001, 53.0]), limits)) == 4
    same = np.array([0.6, 50.0])
    assert steps(same, same, limits).tolist() == [[0.6, 50.0]]


@pytest.mark.parametrize(
    ("following", "limits", "message"),
    [
        ([np.nan, 0.0], [1.0, 1.0], "next_law: expected finite numbers, got"),
        ([1.0, 0.0], [0.0, 1.0], "limits: expected positive numbers, got"),
        ([1.0, 0.0], [9.9e-4, 1.0], r"limits: expected at most 1000 steps from .* to .*, got 1010 of"),
        ([1.0, 0.0], [1e-310, 1.0], "limits: expected at most 1000 steps from .* to .*, got inf of"),
    ],
)
def test_steps_that_cannot_be_made_are_refused(following: Any, limits: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        steps(np.zeros(2), np.array(following), np.array(limits))


@pytest.mark.parametrize(
    ("previous", "following", "limits", "message"),
    [
        ([0.0, np.nan], [0.0, 0.0], [1.0, 1.0], "previous_law: expected finite numbers, got"),
        ([0.0, 0.0], [np.inf, 0.0], [1.0, 1.0], "next_law: expected finite numbers, got"),
        ([-1e308, 0.0], [1e308, 0.0], [1.0, 1.0], "next_law: expected a finite distance from"),
        ([0.0, 0.0], [0.0, 0.0], [1.0, 0.0], "limits: expected positive numbers, got"),
        ([0.0, 0.0], [0.0, 0.0], [1.0, np.nan], "limits: expected positive numbers, got"),
    ],
)
def test_laws_and_limits_that_no_step_can_be_made_of_are_refused(
    previous: list[float], following: list[float], limits: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        steps(np.array(previous), np.array(following), np.array(limits))


def test_a_law_outside_the_range_visited_so_far_by_more_than_the_margin_is_new() -> None:
    generic = np.array(GENERIC)
    visited, margin = np.array([generic, generic]), np.array([0.05, 1.0, 1.0, 1.0])
    visited[1, [0, 2]] += 0.1, 2.0
    for change, new in (
        ([0.14, 0.9, 2.9, -0.9], ""),
        ([0.16, 0.0, 0.0, 0.0], "torque"),
        ([-0.06, -1.1, 3.1, 0.0], "torque peak rise"),
        ([np.nan, 0.0, np.inf, -np.inf], "torque rise fall"),
    ):
        found = unvisited(generic + np.array(change), visited, margin)
        assert " ".join(np.array(["torque", "peak", "rise", "fall"])[found]) == new


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_before_the_first_law_everything_is_new_and_a_visited_law_is_not(count: int, seed: int) -> None:
    visited = stream(seed).standard_normal((count, 4))
    assert unvisited(visited[0], np.empty((0, 4)), np.ones(4)).all()
    for law in visited:
        assert not unvisited(law, visited, np.zeros(4)).any()
