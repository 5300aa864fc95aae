"""Capping: episodes with too low a return end early, and the search hardly notices."""

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.core import Evaluation, Evaluator, Proposal
from policysearch.evaluators import Capped, FunctionEvaluator, PoolEvaluator, ProgramEvaluator
from policysearch.evaluators.functions import Goal
from policysearch.evaluators.recorded import Recorded, digest
from policysearch.optimizers import OPTIMIZERS
from policysearch.search import Budget, Generation, generations
from policysearch.seeding import Key, stream
from policysearch.space import Parameter, Space

SPACE = Space((Parameter("kp", 1.0, 0.0, 8.0), Parameter("kd", 1.0, 0.0, 4.0)))
KEY = (1, "giving up")


def cost(
    params: Mapping[str, float], seed: int, cutoff: float = math.inf, noise: float = 0.0
) -> dict[str, float]:
    """The cost of 200 steps of an unstable plant, x'' = 2x + u, or of fewer if it is above the cutoff."""
    x, v, total, t = 1.0 + noise * stream(seed).standard_normal(), 0.0, 0.0, 0
    while t < 200 and total <= cutoff:
        u = max(-20.0, min(20.0, -params["kp"] * x - params["kd"] * v))
        v += 0.02 * (2.0 * x + u)
        x += 0.02 * v
        total += 0.02 * (x * x + 0.1 * v * v + 0.001 * u * u)
        t += 1
    return {"return": total, "steps": t}


noisy_cost = functools.partial(cost, noise=0.1)


def search(name: str, evaluator: Evaluator, rollouts: int = 200) -> list[Generation]:
    return list(generations(OPTIMIZERS[name](), evaluator, SPACE.domain, budget=Budget(rollouts), seed=2))


def mean_cost(turns: Sequence[Generation], function: Callable[..., dict[str, float]]) -> float:
    values = SPACE.named(turns[-1].recommendation)
    return float(np.mean([function(values, seed)["return"] for seed in range(20)]))


@pytest.mark.parametrize(
    ("name", "function", "share"),
    [
        ("cma-es", cost, 0.95),
        ("cma-es", noisy_cost, 0.8),
        ("snes", cost, 0.85),
        ("hill-climbing", cost, 0.96),
        ("random-search", cost, 0.9),
        ("random-search", noisy_cost, 0.9),
    ],
)
@pytest.mark.nightly
def test_steps_are_saved_and_the_recommendation_is_as_good(name: str, function: Any, share: float) -> None:
    whole = search(name, FunctionEvaluator(function, SPACE, goal="minimise"))
    saving = search(name, Capped(FunctionEvaluator(function, SPACE, goal="minimise")))
    assert whole[-1].steps == 200 * whole[-1].rollouts
    assert saving[-1].rollouts == whole[-1].rollouts
    assert saving[-1].steps < share * whole[-1].steps
    assert mean_cost(saving, function) < 1.01 * mean_cost(whole, function)


class Listed:
    """An evaluator that gives these returns, and keeps the cutoffs that it was told."""

    def __init__(self, *returns: Any) -> None:
        self.returns, self.cutoffs = list(returns), list[float]()

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        self.cutoffs.append(proposal.cutoff)
        returns = np.array(self.returns[len(self.cutoffs) - 1], dtype=float)
        return Evaluation(proposal.params, returns, np.ones(returns.shape, dtype=int))


def cutoffs(*told: Any, purposes: Sequence[str] = ()) -> list[float]:
    """What generations are run with, when they come to these returns."""
    inner = Listed(*told, [[0.0], [0.0]])
    evaluator = Capped(inner)
    for returns, purpose in zip(inner.returns, [*purposes, *["search"] * len(inner.returns)], strict=False):
        n, k = np.shape(returns)
        evaluator.evaluate(Proposal(np.zeros((n, 2)), np.zeros(2), k, purpose=purpose), KEY)
    return inner.cutoffs


NONE = -math.inf


def test_the_cutoff_is_the_worst_finite_return_of_the_last_generation_that_had_one() -> None:
    assert cutoffs([[-3.0, -5.0], [-2.0, math.nan]], [[-4.0], [-1.0]], [[math.nan]] * 2, [[-2.0], [-3.0]]) == [
        NONE, -5.0, -4.0, -4.0, -3.0,
    ]  # fmt: skip


def test_where_some_are_capped_the_cutoff_loosens_by_their_last_steps() -> None:
    assert cutoffs([[-5.0], [-2.0]], [[-5.25], [-1.0]], [[-5.5], [-1.0]], [[-2.0], [-1.0]]) == [
        NONE, -5.0, -5.25, -5.5, -2.0,
    ]  # fmt: skip


def test_a_generation_that_is_capped_as_a_whole_is_no_measure_of_the_next() -> None:
    assert cutoffs([[-5.0], [-2.0]], [[-5.5], [-5.25]], [[-9.0], [-8.0]]) == [NONE, -5.0, NONE, -9.0]
    assert cutoffs([[-5.0], [-5.0]], [[-5.0], [-5.5]]) == [NONE, -5.0, -5.5]  # one reached it


def test_a_single_candidate_is_no_measure_of_the_next() -> None:
    assert cutoffs([[-5.0, -1.0]], [[-5.0], [-2.0]], [[-1.0]], [[-7.0]]) == [NONE, NONE, -5.0, -5.0, -5.0]


def test_what_is_measured_again_or_for_a_report_is_run_in_full_and_sets_nothing() -> None:
    told, purposes = [[[-5.0], [-2.0]], [[-9.0]] * 2, [[-1.0]] * 2], ["search", "re-evaluation", "report"]
    assert cutoffs(*told, purposes=purposes) == [NONE, NONE, NONE, -5.0]


def test_a_simplex_is_moved_as_if_no_episode_had_been_capped() -> None:
    whole = search("nelder-mead", FunctionEvaluator(cost, SPACE, goal="minimise"))
    saving = search("nelder-mead", Capped(FunctionEvaluator(cost, SPACE, goal="minimise")))
    for one, other in zip(whole, saving, strict=True):
        assert one.proposal.params.tobytes() == other.proposal.params.tobytes()


# Functions and programs ------------------------------------------------------------------------------------


def evaluate(evaluator: Evaluator, cutoff: float = NONE, n: int = 1) -> Evaluation:
    params = stream("candidates").random((n, 2))
    return evaluator.evaluate(Proposal(params, params[0], cutoff=cutoff), KEY)


@pytest.mark.parametrize(
    ("goal", "told", "unknown"), [("minimise", 7.0, math.inf), ("maximise", -7.0, -math.inf)]
)
def test_a_function_hears_the_cutoff_in_its_own_sign(goal: Goal, told: float, unknown: float) -> None:
    heard: list[float] = []

    class Plant:
        def __call__(self, params: Any, seed: int, *, cutoff: float) -> float:
            heard.append(cutoff)
            if len(heard) == 1:
                raise RuntimeError("once")
            return 1.0

    evaluator = FunctionEvaluator(Plant(), SPACE, goal=goal)
    assert evaluate(evaluator, -7.0).returns == [[1.0 if goal == "maximise" else -1.0]]
    evaluate(evaluator)
    assert heard == [told, told, unknown]  # the second time because it raised


@pytest.mark.parametrize(
    "function",
    [lambda params, seed: 2.0, lambda params, seed, other=3.0: other, max],
    ids=["two", "more", "built in"],
)
def test_a_function_that_does_not_ask_is_told_nothing(function: Any) -> None:
    found = evaluate(FunctionEvaluator(function, SPACE), -7.0)
    if function is max:  # says nothing of its parameters, and cannot compare these
        assert "TypeError" in found.failures[0].reason
        assert "cutoff" not in found.failures[0].reason
    else:
        assert found.failures == ()


def test_the_cutoff_travels_to_worker_processes() -> None:
    inner = FunctionEvaluator(noisy_cost, SPACE, goal="minimise")
    with PoolEvaluator(inner, workers=2) as pool:
        alone, together = search("snes", Capped(inner), 60), search("snes", Capped(pool), 60)
        assert evaluate(pool, -0.5, n=3).steps.tobytes() == evaluate(inner, -0.5, n=3).steps.tobytes()
    for one, other in zip(alone, together, strict=True):
        assert one.evaluation.returns.tobytes() == other.evaluation.returns.tobytes()
        assert one.evaluation.steps.tobytes() == other.evaluation.steps.tobytes()
    assert alone[-1].steps < 200 * alone[-1].rollouts


def test_a_replayed_search_comes_to_the_same_cutoffs_which_are_not_part_of_a_proposals_digest() -> None:
    heard: list[float] = []

    def function(params: Mapping[str, float], seed: int, cutoff: float) -> dict[str, float]:
        heard.append(cutoff)
        return cost(params, seed, cutoff)

    def run(known: Sequence[Any], write: Callable[[Any], None]) -> list[Generation]:
        return search(
            "snes", Capped(Recorded(FunctionEvaluator(function, SPACE, goal="minimise"), known, write)), 60
        )

    records: list[Any] = []
    first = run((), records.append)
    all_heard, kept = heard.copy(), sum(len(turn.proposal.params) for turn in first[:4])
    heard.clear()
    again = run(records[:4], lambda record: None)
    assert heard == all_heard[kept:]
    assert len(set(heard)) > 3
    assert first[-1].recommendation.tobytes() == again[-1].recommendation.tobytes()
    row = np.zeros((1, 2))
    assert digest(Proposal(row, row[0], cutoff=-3.0)) == digest(Proposal(row, row[0]))


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Writes an executable script for sh; gives its path."""

    def write(text: str) -> str:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return write


#: Adds 10·kp to its cost in each of 50 steps, until the cost is above the cutoff.
ADDING = """
limit=${2%.*}; [ "$2" = inf ] && limit=999999
cost=0; t=0
while [ $t -lt 50 ] && [ $cost -le $limit ]; do cost=$((cost + 10 * $1)); t=$((t + 1)); done
echo "{\\"return\\": $cost, \\"steps\\": $t}"
"""


def test_a_program_stops_when_its_cost_is_above_the_cutoff(program: Callable[[str], str]) -> None:
    space = Space((Parameter("kp", 1, 1, 9, integer=True),))
    evaluator = ProgramEvaluator(f"{program(ADDING)} {{kp}} {{cutoff}}", space, goal="minimise")
    rows = space.encode(np.array([[1.0], [4.0], [9.0]]))
    for cutoff, steps, returns in (
        (NONE, [50, 50, 50], [-500, -2000, -4500]),
        (-600.0, [50, 16, 7], [-500, -640, -630]),
    ):
        found = evaluator.evaluate(Proposal(rows, rows[0], cutoff=cutoff), KEY)
        assert found.steps[:, 0].tolist() == steps
        assert found.returns[:, 0].tolist() == returns


def test_the_cutoff_of_a_program_is_a_number_in_its_own_sign_that_its_file_has_where_it_is_known(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    command = f"{program(f'cat $2 > {tmp_path}/file; echo $1 > {tmp_path}/argument; echo 1')} {{cutoff:.2f}} {{json}}"

    def met(goal: Goal, cutoff: float) -> tuple[str, Any]:
        assert evaluate(ProgramEvaluator(command, SPACE, goal=goal), cutoff).failures == ()
        found = json.loads((tmp_path / "file").read_text(encoding="utf-8"))
        return (tmp_path / "argument").read_text(encoding="utf-8").strip(), found.get("cutoff", "left out")

    assert met("minimise", NONE) == ("inf", "left out")
    assert met("maximise", NONE) == ("-inf", "left out")
    assert met("minimise", -2.125) == ("2.12", 2.125)
    assert met("maximise", -2.125) == ("-2.12", -2.125)


def test_no_parameter_of_a_program_has_the_old_name_of_the_cutoff() -> None:
    with pytest.raises(
        ValueError, match="space: expected other names than seed, hopeless, json, got hopeless"
    ):
        ProgramEvaluator("echo {hopeless}", Space((Parameter("hopeless", 1.0),)))
    with pytest.raises(ValueError, match="command: Unknown format code 'd'"):
        ProgramEvaluator("echo {kp} {kd} {hopeless:d}", SPACE)


def test_the_old_name_of_the_cutoff_still_works(program: Callable[[str], str], tmp_path: Path) -> None:
    row, heard = np.zeros((1, 2)), list[float]()

    def function(params: Mapping[str, float], seed: int, hopeless: float) -> float:
        heard.append(hopeless)
        return 1.0

    old = Proposal(row, row[0], hopeless=-3.0)
    assert old.cutoff == replace(old, episodes=2).cutoff == -3.0
    assert replace(old, cutoff=-1.0).cutoff == -1.0
    FunctionEvaluator(function, SPACE, goal="minimise").evaluate(old, KEY)
    assert heard == [3.0]
    command = f"{program(f'cat $2 > {tmp_path}/file; echo $1')} {{hopeless}} {{json}}"
    assert ProgramEvaluator(command, SPACE).evaluate(old, KEY).returns == [[-3.0]]
    written = json.loads((tmp_path / "file").read_text(encoding="utf-8"))
    assert (written["hopeless"], written["cutoff"]) == (-3.0, -3.0)


def test_a_parameter_of_a_program_may_be_called_cutoff(program: Callable[[str], str], tmp_path: Path) -> None:
    space = Space((Parameter("cutoff", 5.0, 1.0, 9.0),))
    command = f"{program(f'cat $2 > {tmp_path}/file; echo $1')} {{cutoff}} {{json}}"
    start = space.domain.start[None]
    found = ProgramEvaluator(command, space).evaluate(Proposal(start, start[0], cutoff=-7.0), KEY)
    assert found.returns == [[5.0]]
    written = json.loads((tmp_path / "file").read_text(encoding="utf-8"))
    assert (written["cutoff"], written["hopeless"]) == (5.0, -7.0)
