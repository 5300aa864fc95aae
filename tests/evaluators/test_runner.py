"""What holds for every way to run rollouts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from problems import WALKER, Walk
from test_functions import SPACE

from policysearch import evaluators
from policysearch.asking.prompt import Prompt
from policysearch.core import Evaluation, Evaluator, Proposal
from policysearch.evaluators import (
    CompiledEvaluator,
    Divisible,
    EpisodeEvaluator,
    FunctionEvaluator,
    PoolEvaluator,
    ProgramEvaluator,
    Runner,
)
from policysearch.exoskeleton.bouts import BoutEvaluator
from policysearch.exoskeleton.torque_profile import TorqueProfile
from policysearch.seeding import Key
from policysearch.tasks import find_task, make_evaluator
from policysearch.tune.ask import AskEvaluator


def compiled() -> Runner:
    task = find_task("CartPole-v1")
    return make_evaluator(task, task.make_policy(), kind="compiled")


def function(params: Any, seed: int) -> float:
    return 1.0


MAKERS: dict[type[Runner], Callable[[], Runner]] = {
    BoutEvaluator: lambda: BoutEvaluator(TorqueProfile(), "zhang2017", (1,)),
    CompiledEvaluator: compiled,
    EpisodeEvaluator: lambda: EpisodeEvaluator(Walk, WALKER),
    FunctionEvaluator: lambda: FunctionEvaluator(function, SPACE),
    PoolEvaluator: lambda: PoolEvaluator(EpisodeEvaluator(Walk, WALKER), workers=1),
    ProgramEvaluator: lambda: ProgramEvaluator("echo " + " ".join(f"{{{n}}}" for n in SPACE.names), SPACE),
    AskEvaluator: lambda: AskEvaluator(SPACE, Prompt()),
}
every_runner = pytest.mark.parametrize("cls", MAKERS, ids=lambda cls: cls.__name__)


class Counting(Runner):
    """A runner that says how often it was closed, and overrides nothing else."""

    description = "nothing"

    def __init__(self) -> None:
        self.closed = 0

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        shape = (len(proposal.params), proposal.episodes)
        return Evaluation(proposal.params, np.zeros(shape), np.ones(shape, dtype=int))

    def close(self) -> None:
        self.closed += 1


def test_every_evaluator_of_the_package_that_runs_rollouts_is_among_those_tested_here() -> None:
    found = {getattr(evaluators, name) for name in evaluators.__all__} - {Runner, Divisible}
    assert {cls for cls in found if issubclass(cls, Runner)} | {AskEvaluator, BoutEvaluator} == set(MAKERS)


@every_runner
def test_a_runner_is_an_evaluator_and_a_context_manager_that_can_be_closed_twice(cls: type[Runner]) -> None:
    runner = MAKERS[cls]()
    assert type(runner) is cls
    assert isinstance(runner, Evaluator)
    with runner as entered:
        assert entered is runner
        assert runner.compile() in (0, 1)
        assert runner.compile() == 0  # it is in memory now
    runner.close()


def test_the_ways_to_run_rollouts_are_told_apart_in_words() -> None:
    descriptions = {cls.description for cls in MAKERS}
    assert all(descriptions)
    assert len(descriptions) == len(MAKERS)


def test_only_bouts_depend_on_those_before_them_and_what_is_divided_among_processes_never_does() -> None:
    assert [cls for cls in MAKERS if cls.sequential] == [BoutEvaluator]
    assert {cls for cls in MAKERS if issubclass(cls, Divisible)} == {
        EpisodeEvaluator,
        FunctionEvaluator,
        CompiledEvaluator,
    }


def test_a_runner_is_closed_at_the_end_of_its_block_however_that_ends() -> None:
    with Counting() as calm:
        assert (calm.compile(), calm.closed, calm.sequential, calm.interface) == (0, 0, False, None)
    assert calm.closed == 1
    failing = Counting()
    with pytest.raises(ZeroDivisionError), failing:
        raise ZeroDivisionError
    assert failing.closed == 1
