"""Workers: tasks are run again after the loss of their process, and no process is left behind."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from policysearch.evaluators.worker import CONTEXT
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


def starters() -> AbstractContextManager[Run]:
    """Tasks that start two processes, say which, and then end as they are told to."""

    def run(how: str, _: Any, tell: Callable[[Any], None]) -> str:
        program = subprocess.Popen(["sleep", "1000"])  # noqa: S607
        process = multiprocessing.Process(target=time.sleep, args=(1000,))
        process.start()
        tell((program.pid, process.pid))
        if how == "it crashes":
            os._exit(3)
        time.sleep(1000 if how == "it hangs" else 0)
        return multiprocessing.get_start_method()

    return contextlib.nullcontext(run)


@pytest.mark.parametrize("how", ["it is closed", "it crashes", "it hangs", "it is forgotten"])
def test_processes_of_a_task_end_with_its_worker(how: str) -> None:
    crew = Workers[str](starters, (), 1, limits=Limits(task_seconds=0.3, retries_lost=0, retries_crashed=0))
    events = list(crew.run([how]))
    (pids,) = [event.value for event in events if isinstance(event, Told) and not event.done]
    if how == "it is closed":
        assert events[-1].value == multiprocessing.get_start_method()  # as in this process
        assert all(map(alive, pids))
        crew.close()
    elif how == "it is forgotten":
        del crew
    wait_until(lambda: not any(map(alive, pids)))


def enders() -> AbstractContextManager[Run]:
    """Tasks that end a process of theirs, and say how it has ended."""

    def run(_: int, __: Any, ___: Any) -> int | None:
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
        process.start()
        time.sleep(0.1)  # until it has begun
        process.terminate()
        process.join()
        return process.exitcode

    return contextlib.nullcontext(run)


def test_processes_of_a_task_end_at_the_usual_signal_without_a_word() -> None:
    with Workers[int](enders, (), 1) as crew:
        assert [event.value for event in crew.run([1]) if isinstance(event, Told)] == [-signal.SIGTERM]


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done()


def rusty(always: bool) -> AbstractContextManager[Run]:
    """Tasks of which the fourth and later ones in a process fail, or all odd ones in any."""
    done: list[int] = []

    def run(task: int, _: Any, __: Any) -> tuple[int, bool]:
        done.append(task)
        return os.getpid(), bool(task % 2) if always else len(done) > 3

    return contextlib.nullcontext(run)


def test_a_task_that_fails_where_others_succeeded_is_run_again_in_a_new_worker() -> None:
    with Workers[int](rusty, (False,), 1, ahead=2) as crew:
        events = list(crew.run(range(10), failed=lambda result: result[1]))
    told = [(event.task, event.done) for event in events if isinstance(event, Told)]
    again = [(3, False), (6, False), (9, False)]
    assert told == sorted([*((task, True) for task in range(10)), *again])
    assert not any(event.value[1] for event in events if isinstance(event, Told) and event.done)
    assert len({event.value[0] for event in events if isinstance(event, Told)}) == 4


def test_tasks_that_fail_in_every_worker_start_few_new_ones() -> None:
    with Workers[int](rusty, (True,), 1, ahead=2) as crew:
        events = list(crew.run(range(100), failed=lambda result: result[1]))
    done = [event for event in events if isinstance(event, Told) and event.done]
    assert [event.task for event in done] == list(range(100))
    assert [event.task for event in done if event.value[1]] == list(range(1, 100, 2))
    assert [event.task for event in events if isinstance(event, Told) and not event.done] == [
        1,
        5,
        13,
        29,
        61,
    ]


def test_a_daemonic_process_is_told_why_it_can_have_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with Workers[int](squares, (), 1) as crew, pytest.raises(CannotStart, match=r"use concurrent\.futures"):
        list(crew.run([1]))


def test_what_a_worker_cannot_rebuild_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(os)("loaded_from_nowhere")
    exec("def function(x): return x", vars(module))  # noqa: S102
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with (
        Workers[int](calling, (module.function,), 1) as crew,
        pytest.raises(TypeError, match=r"cannot rebuild .* No module named 'loaded_from_nowhere'"),
    ):
        list(crew.run([1]))


def calling(function: Callable[[int], int]) -> AbstractContextManager[Run]:
    return contextlib.nullcontext(lambda x, _, __: function(x))


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


SERVING = """
import sys, time
from multiprocessing import forkserver
forkserver.set_forkserver_preload(["policysearch.fork_server", "slowly"])
forkserver.ensure_running()
print(forkserver._forkserver._forkserver_pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the server ends after its imports")
def test_a_server_that_still_imports_ends_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "slowly.py").write_text("import time\nopen('begun', 'w').close()\ntime.sleep(60)\n")
    places = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])
    environment = os.environ | {"PYTHONPATH": places}
    command = [sys.executable, "-c", SERVING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment) as process:
        assert process.stdout is not None
        server = Path("/proc", process.stdout.readline().decode().strip())
        wait_until((tmp_path / "begun").exists)
        process.kill()
    wait_until(lambda: not server.exists() or "Z" in (server / "stat").read_text().rpartition(")")[2][:3])


def test_what_all_workers_need_is_imported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[list[str]] = []
    monkeypatch.setattr(CONTEXT, "set_forkserver_preload", named.append)
    Workers(squares, (), 1, preload=["policysearch.evaluators.ready"])
    assert named == [
        [
            "policysearch.fork_server",
            "policysearch.evaluators.workers",
            __name__,
            "policysearch.evaluators.ready",
        ]
    ]


def test_the_server_of_the_workers_ends_with_this_process() -> None:
    Workers(squares, (), 1)
    assert forkserver._forkserver._preload_modules[0] == "policysearch.fork_server"  # type: ignore[attr-defined]
