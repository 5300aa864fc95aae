"""Searches that end before their budget is spent."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policysearch.core import Evaluation, Proposal
from policysearch.limits import Limits, Watch, in_words
from policysearch.search import Generation


def search(values: Sequence[Sequence[float]], episodes: int = 1) -> list[Generation]:
    """Generations whose candidates have these mean returns."""
    made, rollouts = [], 0
    for index, means in enumerate(values):
        proposal = Proposal(np.zeros((len(means), 1)), np.zeros(1), episodes)
        returns = np.repeat(np.array(means)[:, None], episodes, axis=1)
        rollouts += proposal.cost
        evaluation = Evaluation(proposal.params, returns, np.ones(returns.shape, dtype=int))
        made.append(Generation(index, proposal, evaluation, np.zeros(1), rollouts, rollouts))
    return made


RISING = [[1.0, 2.0], [0.0, 3.0], [np.nan, 2.5], [1.0, 3.0], [5.0, 1.0]]


@pytest.mark.parametrize(
    ("limits", "generations", "words"),
    [
        ({}, 5, ""),
        ({"target": 3.0}, 2, "a candidate reached the target of 3 with 3, after 4 rollouts"),
        ({"target": 6.0}, 5, ""),
        ({"patience": 4}, 4, "the last 4 of 8 rollouts brought no better candidate"),
        ({"patience": 3}, 4, "the last 4 of 8 rollouts brought no better candidate"),
        ({"patience": 5}, 5, ""),
        ({"target": 3.0, "patience": 1}, 2, "a candidate reached the target of 3 with 3, after 4 rollouts"),
        ({"hours": 1.0}, 5, ""),
        ({"hours": 4 / 360}, 4, "the time limit of 40 s leaves no further generation: 8 rollouts took 40 s"),
        (
            {"hours": 4.9 / 360},
            4,
            "the time limit of 49 s leaves no further generation: 8 rollouts took 40 s",
        ),
        ({"hours": 1 / 3600}, 1, "the time limit of 1 s leaves no further generation: 2 rollouts took 10 s"),
    ],
)
def test_a_search_ends_with_the_generation_that_comes_to_a_limit(
    limits: dict[str, Any], generations: int, words: str
) -> None:
    seconds = 0.0  # each generation takes 10 s

    def counted() -> Any:
        nonlocal seconds
        for made in search(RISING):
            seconds += 10.0
            yield made

    watch = Watch(Limits(**limits), lambda: seconds)
    assert len(list(watch.over(counted()))) == generations
    assert watch.ended == words
    assert bool(watch.kind) == bool(words)


def test_the_target_of_a_cost_is_reached_from_above() -> None:
    watch = Watch(Limits(target=2.0, minimise=True))
    assert len(list(watch.over(iter(search([[-9.0], [-3.0], [-1.5], [-1.0]]))))) == 3
    assert watch.ended == "a candidate reached the target of 2 with 1.5, after 3 rollouts"


def test_time_is_kept_for_what_follows_the_search() -> None:
    for after, generations in ((5, 5), (6, 1)):  # 20 s, and (5 + after) · 4 s, of 60 s
        watch = Watch(Limits(hours=1 / 60), lambda: 20.0, lambda made, after=after: after)
        assert len(list(watch.over(iter(search([[0.0] * 5] * 5))))) == generations
    assert watch.ended == (
        "the time limit of 1 min leaves no further generation: 5 rollouts took 20 s, and the evaluation of the "
        "result, with 6 rollouts, needs time too"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.25, "0.25 s"),
        (59.0, "59 s"),
        (60.0, "1 min"),
        (95.0, "1 min 35 s"),
        (5760.0, "1 h 36 min"),
        (7200.0, "2 h"),
    ],
)
def test_times_are_said_in_their_two_largest_units(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_time_is_kept_for_a_larger_generation_than_those_before() -> None:
    for ahead, generations in ((5, 2), (6, 1)):  # 10 s per rollout, of 60 s
        first, second = search([[0.0], [0.0] * ahead])
        watch = Watch(Limits(hours=1 / 60), lambda: 10.0)
        assert len(list(watch.over(iter([replace(first, ahead=ahead), second])))) == generations
