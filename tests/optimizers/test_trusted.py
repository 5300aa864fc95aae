"""Trusted: no step further than `reach` from what has worked, and whatever works is reached."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from problems import BOUNDED, BOX, DIRECT, FREE, D, Values, domain_of, proposals, sphere, walk

from policysearch.ask_tell import Conversation
from policysearch.core import Array, Domain, Evaluation, Optimizer, Proposal, Search
from policysearch.evaluators import FunctionEvaluator
from policysearch.optimizers import CMAES, RandomSearch, Reinforce, Repeated, Trusted
from policysearch.optimizers.trusted import _spread
from policysearch.search import Budget, generations
from policysearch.seeding import stream
from policysearch.space import Choice, Parameter, Space

EVERY = DIRECT | BOUNDED
ROUNDING = 1e-12
BORDER = 0.15  # beyond which everything fails: no multiple of the reach


#: By day the methods themselves, at night with their wrappers too.
PLAIN_BY_DAY = [pytest.param(name, marks=[pytest.mark.nightly] * (" " in name)) for name in EVERY]


def uphill(params: Array) -> Array:
    """Better and better along all axes, until it fails."""
    return np.where(params.max(axis=1) > BORDER, np.nan, params.sum(axis=1))


def run(optimizer: Optimizer, turns: int) -> tuple[list[tuple[Proposal, Evaluation]], Array]:
    """What is run in the first generations of a search that fails beyond the border; the recommendation after them.

    It is not given up, also where all of three generations fail.
    """
    search, evaluator, out = (
        Conversation(optimizer, BOX, 1),
        Values(uphill),
        list[tuple[Proposal, Evaluation]](),
    )
    while len(out) < turns and search.proposal is not None:
        out.append((search.proposal, evaluator.evaluate(search.proposal, (1, len(out)))))
        search.send(out[-1][1])
    return out, search.recommendation


def distance(points: Array, worked: Array) -> float:
    """Of the largest coordinate, to the nearest point that has worked; of the point for which it is largest."""
    return float(max(np.abs(worked - point).max(axis=1).min() for point in np.atleast_2d(points)))


@pytest.mark.parametrize("name", EVERY)
def test_no_candidate_and_no_recommendation_is_further_than_reach_from_what_has_worked(name: str) -> None:
    turns, recommendation = run(Trusted(EVERY[name], 0.1), 8 if name in BOUNDED else 20)
    worked, failed = BOX.start[None], 0
    for proposal, evaluation in turns:
        points = np.vstack([proposal.params, proposal.recommendation])
        assert distance(points, worked) <= 0.1 + ROUNDING
        assert points.max() <= BORDER + 0.1 + ROUNDING
        fine = np.isfinite(evaluation.returns).all(axis=1)
        worked = np.vstack([worked, proposal.params[fine]])
        failed += int((~fine).sum())
    assert distance(recommendation, worked) <= 0.1 + ROUNDING
    assert failed > 0
    assert len(worked) > 3


@pytest.mark.parametrize("name", ["random-search", "cross-entropy", "cma-es", "snes", "nelder-mead"])
def test_the_bare_methods_go_further_into_what_fails(name: str) -> None:
    assert max(proposal.params.max() for proposal, _ in run(DIRECT[name], 25)[0]) > BORDER + 0.3


@pytest.mark.parametrize(
    "name", ["cma-es", "snes", "cross-entropy", "hill-climbing", "genetic", "finite-difference"]
)
@pytest.mark.nightly
def test_an_optimum_ten_reaches_away_is_found(name: str) -> None:
    *_, final = generations(Trusted(DIRECT[name], 0.1), Values(), BOX, budget=Budget(1500), seed=1)
    assert sphere(final.recommendation[None])[0] > -0.05  # from −D


@pytest.mark.parametrize("name", PLAIN_BY_DAY)
def test_a_large_reach_changes_no_bit(name: str) -> None:
    turns = 6 if name in BOUNDED else 12
    bare = proposals(EVERY[name], turns, domain=domain_of(name), noise=0.1)
    trusted = proposals(Trusted(EVERY[name], 1e9), turns, domain=domain_of(name), noise=0.1)
    for one, other in zip(bare, trusted, strict=True):
        assert one.params.tobytes() == other.params.tobytes()
        assert one.recommendation.tobytes() == other.recommendation.tobytes()


# Hand-worked ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scripted:
    """Proposes these rows, one generation each, recommends what is listed with them, and ends at the last of that."""

    rows: tuple[Any, ...]
    recommended: tuple[Any, ...]

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        for rows, recommended in zip(self.rows, self.recommended, strict=False):
            yield Proposal(np.array(rows), np.array(recommended))
        return np.array(self.recommended[-1])


def script(
    rows: Any, recommended: Any, told: Any, domain: Domain, reach: float = 0.5
) -> tuple[list[list[list[float]]], list[list[float]]]:
    """What is run and what is recommended when the generations are told these returns."""
    search = Trusted(Scripted(rows, recommended), reach).search(domain, stream(1))
    proposal, ran, said = next(search), [], []
    for returns in told:
        ran.append(proposal.params.tolist())
        said.append(proposal.recommendation.tolist())
        one = np.array(returns, dtype=float).reshape(len(proposal.params), -1)
        left_out = tuple(i for i, given in enumerate(returns) if given is None)
        evaluation = Evaluation(proposal.params, one, np.ones(one.shape, dtype=int), unmeasured=left_out)
        try:
            proposal = search.send(evaluation)
        except StopIteration as end:
            said.append(end.value.tolist())
    return ran, said


LINE, PLANE = Domain.unbounded(np.zeros(1)), Domain.unbounded(np.zeros(2))


def test_the_region_grows_with_what_works_and_with_nothing_else() -> None:
    rows = [[[9.0]]] * 5
    told = [[1.0], [np.nan], [[1.0, np.nan]], [None], [1.0]]
    ran, _ = script(rows, [[0.0]] * 5, told, LINE)
    assert ran == [[[0.5]], [[1.0]], [[1.0]], [[1.0]], [[1.0]]]
    ran, _ = script(rows, [[0.0]] * 5, [[1.0], [1.0], [[1.0, 2.0]], [1.0], [1.0]], LINE)
    assert ran == [[[0.5]], [[1.0]], [[1.5]], [[2.0]], [[2.5]]]


def test_a_row_comes_to_the_nearest_point_that_has_worked_and_of_two_to_the_first() -> None:
    # (0.5, 0) and (0, −0.5) work, beside the start. (0.75, −2) is 2, 2 and 1.5 away from the three, so it goes to the
    # box around the third. (1.5, −1.5) is 1.5, 1.5 and 1.5 away, and goes to that around the start.
    rows = [[[0.5, 0.0], [0.0, -0.5]], [[0.75, -2.0], [1.5, -1.5], [0.25, 0.25]]]
    ran, _ = script(rows, [[0.0, 0.0]] * 2, [[1.0, 1.0], [1.0, 1.0, 1.0]], PLANE)
    assert ran[1] == [[0.5, -1.0], [0.5, -0.5], [0.25, 0.25]]


def test_a_recommendation_that_has_worked_is_the_point_that_it_last_worked_as() -> None:
    # 9 is run as 0.5, 1 and 1.5, which fails; −9, which was never run, is projected.
    rows, recommended = [[[9.0]]] * 4, [[0.0], [9.0], [9.0], [-9.0], [9.0]]
    ran, said = script(rows[:3], recommended[:3], [[1.0], [1.0], [np.nan]], LINE)
    assert ran == [[[0.5]], [[1.0]], [[1.5]]]
    assert said == [[0.0], [0.5], [1.0], [1.0]]  # at the end too
    _, said = script(rows[:1], [[-9.0]], [[1.0]], LINE)
    assert said == [[-0.5], [-0.5]]


def test_what_lies_outside_the_bounds_counts_as_what_is_run_there() -> None:
    domain = Domain(np.array([0.75]), np.zeros(1), np.ones(1))
    ran, _ = script([[[5.0]], [[5.0]], [[0.0]]], [[0.0]] * 3, [[1.0]] * 3, domain)
    assert ran == [[[1.0]], [[1.0]], [[0.25]]]


def test_of_an_option_and_a_whole_number_only_the_coordinate_is_held_back() -> None:
    space = Space(
        (
            Parameter("n", 1, 1, 5, integer=True, step=4.0),
            Choice("mode", ("a", "b"), "a"),
            Parameter("x", 0.0, 0, 1),
        )
    )
    met: list[dict[str, Any]] = []

    def function(params: Any, seed: int) -> float:
        met.append(dict(params))
        return 1.0

    far = [[1.0, 1.0, 1.0]]
    search = Trusted(Scripted((far,) * 4, ((0.0, 0.0, 0.0),) * 4), 0.1)
    for _ in generations(search, FunctionEvaluator(function, space), space.domain, budget=Budget(4), seed=1):
        pass
    assert [(m["n"], m["mode"]) for m in met] == [(1, "a"), (2, "a"), (2, "b"), (3, "b")]
    assert [m["x"] for m in met] == pytest.approx([0.1, 0.2, 0.3, 0.4])


# The rest -------------------------------------------------------------------------------------------------


def test_what_had_to_be_brought_inside_is_told_less_by_the_spread_for_every_reach() -> None:
    class Listening(RandomSearch):
        def search(self, domain: Domain, rng: np.random.Generator) -> Search:
            while len(heard) < 2:
                rows = np.add(domain.start, [[0.0] * D, [0.35] * D]) if heard else domain.start[None]
                heard.append((yield Proposal(rows, domain.start, diagnostics={"sigma": 2.0})))
            return domain.start

    heard: list[Evaluation] = []
    search = Trusted(Listening(), 0.1).search(FREE, stream(1))
    told = Values().evaluate(next(search), (1,))
    proposal = search.send(told)
    assert heard == [told]  # nothing was brought inside
    assert proposal.diagnostics == {"sigma": 2.0}
    np.testing.assert_allclose(proposal.params[1], FREE.start + 0.1)
    told = Values().evaluate(proposal, (2,))
    with pytest.raises(StopIteration):
        search.send(told)
    gap = abs(float(told.returns[1, 0] - told.returns[0, 0]))
    np.testing.assert_allclose(heard[1].returns, told.returns - [[0.0], [2.5 * gap]])


def test_a_range_that_is_rounding_is_no_spread() -> None:
    assert _spread(np.array([[0.1 + 0.2], [0.3]]), 5.0) == 5.0
    assert _spread(np.array([[1.0], [1.5]]), 5.0) == 0.5
    assert _spread(np.array([[np.nan]]), 5.0) == 5.0


def test_it_goes_around_other_wrappers_and_methods_that_need_scores() -> None:
    assert not Trusted(CMAES()).needs.scores
    assert Trusted(Reinforce()).needs.scores
    evaluator, worked = walk(), FREE.start[None]
    trusted = Trusted(Reinforce(episodes=4, learning_rate=0.3), 0.05)
    for turn in generations(trusted, evaluator, FREE, budget=Budget(80), seed=1):
        assert distance(turn.proposal.params, worked) <= 0.05 + ROUNDING
        worked = np.vstack([worked, turn.proposal.params])
    assert distance(worked[-1], worked[:1]) > 0.1
    assert next(Trusted(Repeated(RandomSearch(), 3)).search(FREE, stream(1))).episodes == 3


@pytest.mark.parametrize("reach", [0.0, -1.0, np.nan, np.inf])
def test_a_reach_that_goes_nowhere_is_refused(reach: float) -> None:
    with pytest.raises(ValueError, match="reach: expected a positive number, got"):
        Trusted(CMAES(), reach)
