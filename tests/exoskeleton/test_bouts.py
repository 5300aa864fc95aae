"""Bouts of one simulated person, one after the other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from policysearch.compare.__main__ import main
from policysearch.core import Evaluation, Proposal
from policysearch.evaluators.recorded import Record, Recorded
from policysearch.exoskeleton.bouts import ADAPTED, MINUTES, BoutEvaluator
from policysearch.exoskeleton.subject import SimulatedSubject
from policysearch.exoskeleton.torque_law import GENERIC as POGGENSEE_COLLINS_2021
from policysearch.exoskeleton.torque_profile import SPACE, TorqueProfile
from policysearch.optimizers import CMAES
from policysearch.search import Budget, generations
from policysearch.tasks import find_task, make_problem

WHO = (0, "person", "exoskeleton", 3)
GENERIC = SPACE.encode(np.array(POGGENSEE_COLLINS_2021))


def person() -> BoutEvaluator:
    return BoutEvaluator(TorqueProfile(), "zhang2017", WHO)


def bouts(evaluator: BoutEvaluator, laws: np.ndarray, generation: int = 0) -> Evaluation:
    return evaluator.evaluate(Proposal(laws, laws[0]), ("key", generation))


def test_the_same_history_gives_the_same_bits() -> None:
    laws = np.tile(GENERIC, (5, 1))
    first, second = person(), person()
    for generation in range(3):
        assert np.array_equal(
            bouts(first, laws, generation).returns, bouts(second, laws, generation).returns
        )  # fmt: skip


def test_a_bout_depends_on_those_before_it() -> None:
    fresh, walked = person(), person()
    bouts(walked, np.tile(GENERIC, (8, 1)), 0)
    assert bouts(walked, GENERIC[None], 1).returns != bouts(fresh, GENERIC[None], 1).returns


def test_a_person_learns_to_use_the_same_law() -> None:
    evaluator = person()
    returns = [bouts(evaluator, np.tile(GENERIC, (8, 1)), g).returns.mean() for g in range(12)]
    # 192 minutes; a mean of eight two-minute estimates has a standard error of 1.7 points, a third of the gain
    assert returns[-1] - returns[0] > 5.0
    assert evaluator.walker.state.minutes == pytest.approx(12 * 8 * MINUTES)


def test_a_report_is_the_truth_for_the_adapted_and_is_not_walked() -> None:
    evaluator = person()
    before = evaluator.walker.state
    report = evaluator.evaluate(Proposal(GENERIC[None], GENERIC, 20, purpose="report"), ("report",))
    truth = 100.0 * evaluator.walker.true_reduction(POGGENSEE_COLLINS_2021, ADAPTED)
    assert report.returns == pytest.approx(np.full((1, 20), truth), abs=1e-9)
    assert evaluator.walker.state == before


def test_the_mean_of_many_bouts_is_the_truth_for_who_has_adapted() -> None:
    evaluator = BoutEvaluator(TorqueProfile(), "expert", WHO)
    evaluator.walker.person = evaluator.person._replace(drift_sd=0.0, tau=42.0, outliers=0.0, missed=0.0)
    returns = bouts(evaluator, np.tile(GENERIC, (400, 1))).returns[1:]
    error = returns.std() / np.sqrt(returns.size)
    truth = 100.0 * evaluator.walker.true_reduction(POGGENSEE_COLLINS_2021)
    assert error < 0.3  # points, of about thirty
    assert abs(returns.mean() - truth) < 4.0 * error


def test_a_law_outside_what_a_leg_can_take_is_made_feasible_before_it_is_walked() -> None:
    outside = SPACE.encode(np.array([0.5, 55.0, 26.0, 20.0]))  # it would end at 75 % of the stride
    inside = SPACE.encode(np.array([0.5, 55.0, 26.0, 10.0]))
    assert np.array_equal(bouts(person(), outside[None]).returns, bouts(person(), inside[None]).returns)


def test_everybody_searches_with_the_same_person() -> None:
    task = find_task("exoskeleton")
    people = [
        make_problem(task, CMAES(sigma=sigma), whitened=False, seed=0, run=run).evaluator
        for sigma, run in ((0.1, 0), (0.3, 0), (0.3, 1))
    ]
    persons = [evaluator.person for evaluator in people if isinstance(evaluator, BoutEvaluator)]
    assert persons[0] == persons[1] != persons[2]


def test_a_continued_search_finds_the_person_as_it_was_left() -> None:
    def search(records: Sequence[Record], written: list[Record], rollouts: int) -> np.ndarray:
        evaluator = Recorded(person(), records, written.append)
        budget = Budget(rollouts=rollouts)
        turns = generations(CMAES(sigma=0.2), evaluator, SPACE.domain, budget=budget, seed=0)
        return np.array([turn.evaluation.returns for turn in turns])

    calm: list[Record] = []
    whole = search((), calm, 32)
    part: list[Record] = []
    search((), part, 16)
    rest: list[Record] = []
    assert np.array_equal(search(part, rest, 32), whole)
    assert part + rest == calm


def test_steps_are_minutes_and_the_axes_say_so(tmp_path: Path) -> None:
    flags = ["--tasks", "exoskeleton", "--optimizers", "cma-es", "--rollouts", "16", "--runs", "2"]
    assert main([*flags, "--workers", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[6:8] == ["16", "32"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "minutes" in page
    assert main(["replay", str(tmp_path / "recommendations.npz/exoskeleton/cma-es/0")]) == 0


def test_a_person_walks_one_bout_after_the_other_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--tasks", "exoskeleton", "--optimizers", "cma-es", "--rollouts", "16", "--out", str(tmp_path)]
    assert main([*flags, "--evaluator", "pool"]) == 2
    assert "expected policy 'torque-profile' and evaluator 'auto', got 'torque-profile' and 'pool'" in (
        capsys.readouterr().err
    )
    assert main([*flags, "--policy", "linear"]) == 2
    assert "got 'linear' and 'auto'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no actions to draw or record"):
        person().evaluate(Proposal(GENERIC[None], GENERIC, record=True), ("key",))


def test_a_rollout_is_a_bout() -> None:
    assert SimulatedSubject("zhang2017").steps == MINUTES
