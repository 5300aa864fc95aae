"""Workers: tasks are run again after the loss of their process, and no process is left behind."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from policysearch.evaluators.worker_process import Run
from policysearch.evaluators.workers import CannotStart, Limits, Lost, Told, Workers


def squares() -> AbstractContextManager[Run]:
    return contextlib.nullcontext(square)


def square(x: int, offset: int, tell: Callable[[Any], None]) -> int:
    tell(("process", os.getpid()))
    return x**2 + offset


def quitting(folder: str) -> AbstractContextManager[Run]:
    """Tasks that end their process as often as they are told to, and then say what they were sent."""

    def run(sent: tuple[str, int, str], _: Any, __: Any) -> str:
        name, quits, text = sent
        marks = len(list(Path(folder).glob(f"{name}-*")))
        if marks < quits:
            Path(folder, f"{name}-{marks}").touch()
            os._exit(5)
        return text

    return contextlib.nullcontext(run)


@contextlib.contextmanager
def never() -> Iterator[Run]:
    os._exit(4)
    yield square


def sleepers() -> AbstractContextManager[Run]:
    return contextlib.nullcontext(lambda seconds, _, __: time.sleep(seconds))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_task_has_news_and_a_result_and_a_worker_keeps_its_process_for_the_next_run() -> None:
    with Workers[int](squares, (), 2, ahead=2) as crew:
        pids = set()
        for offset in (0, 10):
            events = [event for event in crew.run(range(5), context=offset) if isinstance(event, Told)]
            results = {event.task: event.value for event in events if event.done}
            assert results == {x: x**2 + offset for x in range(5)}
            news = [event for event in events if not event.done]
            assert sorted(event.task for event in news) == list(range(5))
            pids |= {pid for _, pid in (event.value for event in news)}
        assert len(pids) <= 2
    assert not [pid for pid in pids if alive(pid)]


def test_a_task_is_sent_anew_when_it_is_run_again_and_is_lost_after_its_retries(tmp_path: Path) -> None:
    quits, sent = {"calm": 0, "once": 1, "always": 9}, list[str]()

    def payload(name: str) -> tuple[str, int, str]:
        sent.append(name)
        return name, quits[name], f"{name} for the {sent.count(name)}. time"

    limits = Limits(retries_crashed=2)
    with Workers[str](quitting, (str(tmp_path),), 1, limits=limits) as crew:
        events = list(crew.run(quits, payload=payload))
    assert [(event.task, event.value) for event in events if isinstance(event, Told)] == [
        ("calm", "calm for the 1. time"),
        ("once", "once for the 2. time"),
    ]
    lost = [(event.task, event.times, event.again, event.code) for event in events if isinstance(event, Lost)]
    assert lost == [("once", 1, True, 5), *(("always", n, n < 3, 5) for n in (1, 2, 3))]


def test_workers_that_cannot_start_are_an_error_that_says_what_to_do() -> None:
    with (
        Workers[int](never, (), 2, hint="buy another") as crew,
        pytest.raises(CannotStart, match=r"a worker could not start \(exit code 4\): buy another"),
    ):
        list(crew.run([1]))
    slow = Limits(start_seconds=1e-3)
    with (
        Workers[int](squares, (), 1, limits=slow) as crew,
        pytest.raises(CannotStart, match=r"more than 0.001 s"),
    ):
        list(crew.run([1]))


def test_no_process_is_left_when_the_events_are_closed_early() -> None:
    with Workers[float](sleepers, (), 2) as crew:
        events = crew.run([1000.0, 1001.0], idle_seconds=0.05)
        assert next(events) is None
        pids = [worker.process.pid for worker in crew.living]
        assert len(pids) == 2
        events.close()
        assert crew.living == []
        assert not [pid for pid in pids if alive(pid)]


def test_a_worker_that_died_between_two_runs_is_replaced() -> None:
    with Workers[int](squares, (), 1) as crew:
        list(crew.run([1], context=0))
        os.kill(crew.living[0].process.pid, signal.SIGKILL)
        events = list(crew.run([2], context=1))
        assert [event.value for event in events if isinstance(event, Told) and event.done] == [5]


def test_an_exception_of_a_task_is_raised_with_its_traceback() -> None:
    with (
        Workers[str](squares, (), 1) as crew,
        pytest.raises(TypeError, match="unsupported operand") as raised,
    ):
        list(crew.run(["x"], context=0))
    assert "in square" in raised.value.__notes__[0]
    assert crew.living == []
