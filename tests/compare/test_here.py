"""Runs are made in this process as long as that is quicker than to start workers; their numbers are the same."""

from collections.abc import Iterator
from typing import Any

import pytest

from policysearch.compare import here
from policysearch.compare.here import is_own, run_all
from policysearch.compare.run import Job, Result, execute, jobs
from policysearch.compare.study import Study
from policysearch.compare.workers import Event, Work, run_events


def study(**changes: Any) -> Study:
    data = {"tasks": ["lqr"], "optimizers": ["cma-es", "whitened:ars"], "rollouts": 60, "runs": 2}
    return Study.resolve({**data, **changes})


def rows(chosen: Study, workers: int) -> dict[Job, str]:
    events = run_all([Work(chosen, job) for job in jobs(chosen)], workers)
    return {event.job: facts(event) for event in events if isinstance(event, Result)}


def facts(result: Result) -> str:
    return repr(({**result.row, "wall_seconds": 0}, result.curve, result.params))


def calm(chosen: Study) -> dict[Job, str]:
    return {job: facts(execute(chosen, job)) for job in jobs(chosen)}


def test_a_short_comparison_starts_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "WORTH_WORKERS", 600.0)  # on a machine that is busy
    monkeypatch.setattr(here, "run_in_workers", None)
    assert rows(study(), workers=2) == calm(study())


def test_workers_are_worth_it_where_they_save_more_than_it_takes_to_start_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(here, "WORTH_WORKERS", 3.0)
    # 10 of 90 runs in half a second: 4 seconds of work, of which two workers save 2 and sixteen 3.75
    assert not here.worth_workers(0.5, 10.0, 80.0, workers=2)
    assert here.worth_workers(0.5, 10.0, 80.0, workers=16)
    # 6.5 seconds, of which two workers save 3.25
    assert here.worth_workers(0.5, 10.0, 130.0, workers=2)
    assert here.worth_workers(0.5, 0.0, 90.0, workers=2)  # not one has come to an end


def test_workers_get_what_would_take_long_and_replay_the_run_that_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen, handed_over = study(runs=4), dict[Job, Work]()

    def in_workers(work: dict[Job, Work], workers: int) -> Iterator[Event]:
        handed_over.update(work)
        for item in work.values():
            yield from run_events(item)

    monkeypatch.setattr(here, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(here, "WORTH_WORKERS", 0.0)
    monkeypatch.setattr(here, "SECONDS_TO_SEND", 0.0)
    monkeypatch.setattr(here, "run_in_workers", in_workers)
    assert rows(chosen, workers=2) == calm(chosen)
    assert [*handed_over] == jobs(chosen)
    assert [len(item.known) for item in handed_over.values()] == [1, *[0] * 7]


@pytest.mark.usefixtures("warm_workers")
def test_the_numbers_are_the_same_with_one_two_and_seven_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers take over as soon as they can; with one there are none."""
    monkeypatch.setattr(here, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(here, "WORTH_WORKERS", 0.0)
    chosen = study(optimizers=["cma-es", "whitened:ars", "reinforce"], runs=3)
    by_one = rows(chosen, workers=1)
    assert len(by_one) == 9
    assert rows(chosen, workers=2) == rows(chosen, workers=7) == by_one


@pytest.mark.parametrize(
    ("task", "method", "changes", "own"),
    [
        ("lqr", "cma-es", {}, True),
        ("CartPole-v1", "whitened:ars", {}, True),
        ("motor-pid", "snes", {}, True),
        ("Hopper-v5", "ars", {}, False),  # MuJoCo may end its process
        ("lqr", "cma-es", {"evaluator": "episodes"}, False),
        ("lqr", "cma-es", {"hours": 1.0}, False),
        ("nasty:Quits-v0", "cma-es", {}, False),
        ("lqr", "plug_in_samples:Guess", {}, False),
    ],
)
def test_only_runs_without_code_of_others_are_made_here(
    task: str, method: str, changes: dict[str, Any], own: bool
) -> None:
    chosen = study(tasks=[task], optimizers=[method], rollouts=200, **changes)
    assert is_own(chosen, jobs(chosen)[0]) == own
