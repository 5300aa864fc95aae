"""The questions of a search to a person, and the evaluation that their answers make."""

import numpy as np
import pytest

from policysearch.asking.search import AskedGeneration, without
from policysearch.core import Evaluation, Proposal


def asked(candidates: int, episodes: int) -> AskedGeneration:
    params = np.zeros((candidates, 1))
    pairs = [(i, j) for i in range(candidates) for j in range(episodes)]
    return AskedGeneration.of(Proposal(params, params[0], episodes), 4, "abc", reversed(pairs))


def test_a_question_is_named_by_purpose_generation_proposal_candidate_and_episode() -> None:
    generation = asked(2, 2)
    names = ["search/4/abc/1/1", "search/4/abc/1/0", "search/4/abc/0/1", "search/4/abc/0/0"]
    assert list(generation.questions.values()) == names
    assert generation.pair("search/4/abc/0/1") == (0, 1)


@pytest.mark.parametrize(
    ("candidates", "episodes", "skipped", "may"),
    [
        (4, 1, [(0, 0)], True),
        (4, 1, [(0, 0), (1, 0)], False),
        (3, 1, [], True),
        (3, 1, [(0, 0)], False),
        (1, 1, [], False),
        (2, 2, [(0, 0), (0, 1)], True),  # the third skips one of two episodes
        (2, 2, [(0, 0), (0, 1), (1, 0)], False),
    ],
)
def test_at_least_half_of_the_candidates_keep_a_measured_episode(
    candidates: int, episodes: int, skipped: list[tuple[int, int]], may: bool
) -> None:
    last = (candidates - 1, episodes - 1)
    assert asked(candidates, episodes).may_skip(last, skipped) is may


def test_a_skipped_episode_counts_like_the_mean_of_the_others_and_a_skipped_candidate_not_at_all() -> None:
    returns = np.array([[1.0, np.nan, 4.0], [np.nan, np.nan, np.nan], [np.nan, 5.0, np.nan]])
    evaluation = Evaluation(np.zeros((3, 1)), returns, np.ones((3, 3), dtype=int))
    skipped = [(0, 1), (1, 0), (1, 1), (1, 2), (2, 0)]  # (2, 2) was tried, and failed
    filled = without(evaluation, skipped)
    np.testing.assert_array_equal(filled.returns, [[1.0, 2.5, 4.0], [np.nan] * 3, [np.nan, 5.0, np.nan]])
    assert filled.unmeasured == (1,)
    left = without(evaluation, skipped, fill=False)
    np.testing.assert_array_equal(left.returns, returns)
    assert left.unmeasured == (1,)
