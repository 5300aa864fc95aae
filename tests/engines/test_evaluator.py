"""Rollouts on an engine have the bits of the evaluator that is sent there, whatever happens to chunks and workers."""

import collections
import dataclasses
import multiprocessing
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch import tune
from policysearch.core import Evaluation, Proposal
from policysearch.engines import (
    Engine,
    EngineEvaluator,
    EngineLost,
    WorkerDiffers,
    WorkerFailed,
    chunk,
    evaluator,
    flights,
    guarded,
    opened,
    using,
)
from policysearch.engines.fingerprint import Fingerprint
from policysearch.engines.guarded import Refused, here
from policysearch.evaluators import FunctionEvaluator, PoolEvaluator
from policysearch.evaluators.programs import ProgramEvaluator
from policysearch.evaluators.runner import Divisible
from policysearch.optimizers import OPTIMIZERS
from policysearch.space import Parameter, Space
from policysearch.tasks import find_task, make_problem

sys.path.append(str(Path(__file__).parent))
import plants

SPACE = Space((Parameter("x", 0.0, -5.0, 5.0),))
KEY = (7, "evaluate", 0)


def proposal(n: int = 12, k: int = 2, **more: Any) -> Proposal:
    params = np.linspace(-1, 1, n)[:, None]
    return Proposal(params, params[0], k, **more)


def same(one: Evaluation, other: Evaluation) -> None:
    for name in ("params", "returns", "steps"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert one.failures == other.failures
    assert (one.moments is None) == (other.moments is None)
    if one.moments is not None and other.moments is not None:
        assert one.moments.mean.tobytes() == other.moments.mean.tobytes()
        assert one.moments.M2.tobytes() == other.moments.M2.tobytes()
    for mine, others in zip(one.rollouts, other.rollouts, strict=True):
        assert [r.obs.tobytes() for r in mine] == [r.obs.tobytes() for r in others]
        assert [r.actions.tobytes() for r in mine] == [r.actions.tobytes() for r in others]
    assert one.retried_rollouts == other.retried_rollouts
    assert {k: v.tobytes() for k, v in one.metrics.items()} == {
        k: v.tobytes() for k, v in other.metrics.items()
    }


class Scripted(Executor):
    """An executor in this process; `fate` says what becomes of each task: run, lost, hung or broken."""

    def __init__(self, fate: Callable[[int], str] = lambda i: "run") -> None:
        self.fate, self.orders, self.hung = fate, list[chunk.Order](), list[Future[Any]]()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        (order,) = args
        self.orders.append(order)
        match self.fate(len(self.orders) - 1):
            case "run":
                future.set_result(answer(order))
            case "lost":
                future.set_exception(RuntimeError("KilledWorker"))
            case "hung":
                self.hung.append(future)
            case "unread":
                future.set_exception(ModuleNotFoundError("No module named 'policysearch'"))
            case "cancelled":
                future.cancel()
                future.set_running_or_notify_cancel()
            case "broken":
                raise RuntimeError("cannot schedule new futures after shutdown")
            case "closed":
                raise Exception("Client is closed. Can't send update-graph message.")
            case "mistaken":
                raise RuntimeError("a mistake of another kind")
        return future


def answer(order: chunk.Order) -> chunk.Done:
    """What a worker does, without its processes."""
    inner = chunk.Arrived(order.sent.message, order.sent.common_random_numbers)
    return chunk.Done(
        tuple(inner.outcomes(order.whole(), order.key, order.pairs)), 0.01 * len(order.pairs), here()
    )


def scripted(
    fate: Callable[[int], str] = lambda i: "run", slots: int = 2
) -> tuple[Scripted, EngineEvaluator]:
    executor = Scripted(fate)
    return executor, EngineEvaluator(FunctionEvaluator(plants.cost, SPACE), Engine(executor, lambda: slots))


@pytest.fixture
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 20),
    k=st.integers(1, 3),
    slots=st.integers(1, 9),
    each=st.floats(1e-3, 2.0),
    lost=st.sets(st.integers(0, 12), max_size=2),
)
def test_bits_do_not_depend_on_chunks_slots_or_lost_chunks(
    n: int, k: int, slots: int, each: float, lost: set[int]
) -> None:
    asked = proposal(n, k)
    executor, engine = scripted(lambda i: "lost" if i in lost else "run", slots)
    engine._pace.each = each
    same(engine.evaluate(asked, KEY), FunctionEvaluator(plants.cost, SPACE).evaluate(asked, KEY))
    sent = [pair for i, order in enumerate(executor.orders) if i not in lost for pair in order.pairs]
    assert sorted(sent) == sorted(asked.pairs)


@pytest.mark.parametrize("kind", ["compiled", "episodes"])
@pytest.mark.parametrize("flags", [{"record": True, "sample": True}, {"moments": True}, {"sample": True}])
def test_rollouts_of_environments_have_the_same_bits(kind: Any, flags: dict[str, bool]) -> None:
    problem = make_problem(
        find_task("CartPole-v1"), OPTIMIZERS["reinforce"](), whitened=False, seed=0, run=0, evaluator=kind
    )
    start = problem.domain.start
    params = start + 0.1 * np.arange(5 * start.size).reshape(5, start.size)
    asked = Proposal(params, start, 2, **flags)
    with problem.evaluator as inner:
        near = inner.evaluate(asked, KEY)
        assert isinstance(inner, Divisible)
        engine = EngineEvaluator(inner, Engine(Scripted(lambda i: "lost" if i == 1 else "run"), lambda: 3))
        engine._pace.each = 0.2
        same(engine.evaluate(asked, KEY), near)


def test_a_program_is_sent_with_the_files_that_it_names(tmp_path: Path) -> None:
    script = tmp_path / "square.py"
    script.write_text("import sys; print(float(sys.argv[1]) ** 2 + int(sys.argv[2]) % 1000)")
    program = ProgramEvaluator(f"{sys.executable} {script} {{x}} {{seed}}", SPACE, workers=2)
    inner, files = program.sent
    assert str(script) in files
    asked = proposal(3, 1)
    same(
        EngineEvaluator(inner, Engine(Scripted(), lambda: 2)).evaluate(asked, KEY),
        program.evaluate(asked, KEY),
    )
    with pytest.raises(ValueError, match=r"expected no \{worker\}"):
        _ = ProgramEvaluator(f"{sys.executable} {script} {{x}} {{worker}}", SPACE).sent


@pytest.mark.parametrize(
    ("seconds", "processors", "left", "slots", "size"),
    [
        (60.0, 64, 64, 1, 64),  # one rollout for every processor of the only worker, all at once
        (60.0, 64, 64, 2, 32),
        (60.0, 64, 1000, 2, 64),
        (0.01, 1, 1000, 2, 50),  # half a second
        (0.01, 1, 100, 2, 25),  # fewer towards the end
        (0.01, 1, 12, 2, 5),  # of a twentieth of a second at least
        (0.01, 1, 3, 2, 2),
        (0.001, 1, 64, 2, 32),  # but every worker has some
        (None, 1, 1000, 2, 64),
        (None, 1, 64, 1, 32),
    ],
)
def test_a_chunk_fills_the_processors_of_its_worker(
    seconds: float | None, processors: int, left: int, slots: int, size: int
) -> None:
    pace = evaluator.Pace()
    if seconds is not None:
        pace.learn(processors, seconds, processors)
    assert pace.size(left, slots) == size


def test_a_chunk_has_only_the_rows_that_it_needs() -> None:
    executor, engine = scripted()
    engine.evaluate(proposal(12, 1), KEY)
    assert len(executor.orders) > 2
    for order in executor.orders:
        assert len(order.rows) == len({i for i, _ in order.pairs}) < 12
        assert len(order.proposal.params) == 1


def test_a_rollout_that_is_lost_three_times_has_failed() -> None:
    executor, engine = scripted(lambda i: "lost")
    made = engine.evaluate(proposal(1, 1), KEY)
    assert len(executor.orders) == 3
    assert [failure.reason for failure in made.failures] == [
        "the rollout was stopped: the engine lost its worker, 3 times"
    ]


def test_a_late_chunk_is_run_twice_without_waiting_for_a_free_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "LATE_SECONDS", 0.05)
    executor, engine = scripted(lambda i: "hung" if i in (0, 1) else "run", slots=1)
    engine._pace.each = 1e-4
    asked = proposal(4, 1)
    made = engine.evaluate(asked, KEY)  # both chunks that the only slot takes are hung
    same(made, FunctionEvaluator(plants.cost, SPACE).evaluate(asked, KEY))
    assert all(future.cancelled() for future in executor.hung)


def test_the_first_chunk_may_be_late_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "FIRST_LATE_SECONDS", 0.05)
    executor, engine = scripted(lambda i: "hung" if i == 0 else "run")
    asked = proposal(1, 1)
    same(engine.evaluate(asked, KEY), FunctionEvaluator(plants.cost, SPACE).evaluate(asked, KEY))
    assert len(executor.orders) == 2


def test_every_copy_of_a_late_chunk_waits_twice_as_long_as_the_one_before() -> None:
    held: flights.Flights[int] = flights.Flights(Engine(Scripted(), lambda: 1), print, collections.deque())
    began = time.monotonic() - 3.5
    for copies in (0, 1, 2, 3, 4):
        held.flying[Future()] = flights.Flight([copies], began, 0.0, copies)
    late = [flight.copies for flight in held.overdue(lambda flight: 1.0)]
    assert late == [0, 1, 2]  # after 1, 1, 2, 4, 8 s


def test_a_worker_that_cannot_read_what_it_is_sent_fails_no_rollout() -> None:
    _, engine = scripted(lambda i: "unread" if i == 1 else "run")
    with pytest.raises(WorkerFailed, match=r"cannot be read there \(ModuleNotFoundError: No module named"):
        engine.evaluate(proposal(), KEY)


def test_a_chunk_that_the_engine_has_cancelled_was_not_lost() -> None:
    executor, engine = scripted(lambda i: "cancelled" if i < 5 else "run")
    asked = proposal(1, 1)
    same(engine.evaluate(asked, KEY), FunctionEvaluator(plants.cost, SPACE).evaluate(asked, KEY))
    assert len(executor.orders) == 6


def test_slots_are_asked_anew_and_waiting_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "COUNT_SECONDS", 0.01)
    slots = iter([0, 0, 0])
    said: list[str] = []
    engine = EngineEvaluator(
        FunctionEvaluator(plants.cost, SPACE), Engine(Scripted(), lambda: next(slots, 3)), say=said.append
    )
    assert np.isfinite(engine.evaluate(proposal(), KEY).returns).all()
    assert said == ["waiting for workers", "engine: 3 workers"]


def test_a_tuning_says_that_it_waits_and_how_many_workers_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_tune_pictures: None
) -> None:
    monkeypatch.setattr(flights, "COUNT_SECONDS", 0.01)
    slots = iter([0, 0, 0])
    engine = Engine(Scripted(), lambda: next(slots, 3))
    tune(plants.cost, SPACE, 20, "random-search", goal="minimise", engine=engine, progress=True)
    said = capsys.readouterr().err
    assert said.index("waiting for workers") < said.index("engine: 3 workers")


def test_slots_are_not_asked_for_every_proposal() -> None:
    asked = list[int]()
    engine = Engine(Scripted(), lambda: asked.append(0) or 2)  # type: ignore[func-returns-value]
    far = EngineEvaluator(FunctionEvaluator(plants.cost, SPACE), engine)
    for _ in range(5):
        far.evaluate(proposal(1, 1), KEY)
    assert len(asked) < 5


def test_an_engine_that_takes_no_tasks_is_lost_and_the_same_command_continues() -> None:
    _, engine = scripted(lambda i: "broken")
    with pytest.raises(EngineLost, match="the same command continues") as caught:
        engine.evaluate(proposal(), KEY)
    assert caught.value.exit_code == 3


def test_an_executor_that_takes_nothing_is_asked_whether_its_engine_is_lost() -> None:
    executor, _ = scripted(lambda i: "closed")

    def slots() -> int:
        if executor.orders:
            raise EngineLost("its scheduler is gone")
        return 1

    engine = EngineEvaluator(FunctionEvaluator(plants.cost, SPACE), Engine(executor, slots))
    with pytest.raises(EngineLost, match=r"the same command continues \(its scheduler is gone\)"):
        engine.evaluate(proposal(), KEY)


def test_what_an_executor_raises_for_another_reason_is_no_lost_engine() -> None:
    _, engine = scripted(lambda i: "mistaken")
    with pytest.raises(RuntimeError, match="a mistake of another kind") as caught:
        engine.evaluate(proposal(), KEY)
    assert not isinstance(caught.value, EngineLost)


@pytest.mark.parametrize(("differs", "kind", "code"), [(True, WorkerDiffers, 2), (False, WorkerFailed, 3)])
def test_a_worker_that_differs_is_no_trouble_of_a_machine(differs: bool, kind: type, code: int) -> None:
    class Refusing(Scripted):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
            future: Future[Any] = Future()
            future.set_result(Refused("node1: a reason", differs))
            return future

    engine = EngineEvaluator(FunctionEvaluator(plants.cost, SPACE), Engine(Refusing(), lambda: 1))
    with pytest.raises(kind, match="node1: a reason") as caught:
        engine.evaluate(proposal(), KEY)
    assert caught.value.exit_code == code  # type: ignore[attr-defined]


def test_a_refusal_ends_the_evaluation_and_cancels_the_rest() -> None:
    class Refusing(Scripted):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
            future = super().submit(fn, *args, **kwargs)
            if len(self.orders) == 2:
                future.set_result(Refused("node1: numpy is 1.0, at the driver 2.0", differs=True))
            return future

    executor = Refusing(lambda i: "hung")
    engine = EngineEvaluator(FunctionEvaluator(plants.cost, SPACE), Engine(executor, lambda: 4))
    with pytest.raises(WorkerDiffers, match="numpy is 1"):
        engine.evaluate(proposal(), KEY)
    assert len(executor.orders) > 2
    assert sum(not future.cancelled() for future in executor.hung) == 1


def test_a_worker_that_differs_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICYSEARCH_COUNTED", str(tmp_path))
    data = tmp_path.parent / "data.csv"
    data.write_text("1")
    engine = EngineEvaluator(
        FunctionEvaluator(plants.counted, SPACE), Engine(Scripted(), lambda: 1), depends=(str(data),)
    )
    known = engine.sent.fingerprint
    assert list(known.modules) == ["module plants"]
    assert known.differences() == []
    others = [
        (dataclasses.replace(known, software=known.software | {"numpy": "1.0"}), "numpy is"),
        (
            dataclasses.replace(known, software=known.software | {"source of policysearch": "0"}),
            "source of policysearch",
        ),
        (dataclasses.replace(known, modules={"module plants": "0"}), "module plants (.*) is another one"),
        (dataclasses.replace(known, modules={"module gone": "0"}), "module gone is not there"),
        (dataclasses.replace(known, files={f"file {data}": "0"}), "is another one"),
        (dataclasses.replace(known, files={"file gone.csv": "0"}), "cannot be read"),
    ]
    for other, said in others:
        sent = dataclasses.replace(engine.sent, fingerprint=other)
        refused = chunk.run(chunk.Order.of(sent, proposal(), KEY, [(0, 0)]))
        assert isinstance(refused, Refused)
        assert refused.differs
        assert re.search(said, refused.reason), refused.reason
    assert not list(tmp_path.iterdir())


def test_a_driver_from_which_nothing_differed_is_compared_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1")
    fingerprint = Fingerprint.of(evaluator.message(plants.cost), (str(data),))
    assert guarded.guarded(fingerprint, lambda: 3) == 3
    data.write_text("2")
    assert guarded.guarded(fingerprint, lambda: 3) == 3
    monkeypatch.setattr(guarded, "_until", dict.fromkeys(guarded._until, 0.0))
    refused = guarded.guarded(fingerprint, lambda: 3)
    assert isinstance(refused, Refused)
    assert "data.csv is another one" in refused.reason


def test_a_worker_forgets_the_drivers_that_it_compared_longest_ago(tmp_path: Path) -> None:
    for number in range(2 * guarded.MAX_DRIVERS):
        data = tmp_path / f"{number}.csv"
        data.touch()
        fingerprint = Fingerprint.of(evaluator.message(plants.cost), (str(data),))
        assert guarded.guarded(fingerprint, lambda: 3) == 3
    assert len(guarded._until) == guarded.MAX_DRIVERS


def test_a_message_names_the_modules_of_its_function() -> None:
    assert Fingerprint.of(evaluator.message(plants.cost)).modules.keys() == {"module plants"}


@pytest.mark.parametrize(
    ("params", "limits", "said"),
    [
        (
            np.linspace(0.3, 0.8, 6),  # x is -2, -1, …, 3
            {"timeout": 1.5},
            ["exit code -11", "exit code 3", "ValueError: no", "took more than 1.5 s"],
        ),
        (np.array([0.9]), {"memory_limit": 200 * 2**20}, ["it used more than"]),
    ],
    ids=["crashes, exits, raises, hangs", "fills the memory"],
)
def test_workers_guard_a_simulator(
    params: Any, limits: Any, said: list[str], processes: ProcessPoolExecutor
) -> None:
    asked = Proposal(params[:, None], params[:1], 1)
    inner = FunctionEvaluator(plants.nasty, SPACE)
    with ThreadPoolExecutor(1) as thread, PoolEvaluator(inner, workers=2, **limits) as pool:
        meanwhile = thread.submit(pool.evaluate, asked, KEY)
        with EngineEvaluator(inner, opened(processes), **limits) as engine:
            far = engine.evaluate(asked, KEY)
        local = meanwhile.result()
    for failure, words in zip(local.failures, said, strict=True):
        assert words in failure.reason
    assert far.returns.tobytes() == local.returns.tobytes()
    assert [(f.reason, f.seed) for f in far.failures] == [(f.reason, f.seed) for f in local.failures]


def test_a_function_that_was_typed_is_sent_by_value(processes: ProcessPoolExecutor) -> None:
    factor = 3.0

    def typed(params: Any, seed: int) -> float:
        return factor * params["x"] + seed

    asked = proposal()
    with EngineEvaluator(FunctionEvaluator(typed, SPACE), opened(processes)) as engine:
        same(engine.evaluate(asked, KEY), FunctionEvaluator(typed, SPACE).evaluate(asked, KEY))


@pytest.mark.parametrize("text", ["ray", "http://x", "dask=gone.json", "plants:cost"])
def test_what_is_no_engine_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^engine: "):
        opened(text)


def test_an_executor_of_the_standard_library_is_an_engine_with_its_slots() -> None:
    with ThreadPoolExecutor(3) as executor:
        assert opened(executor).slots() == 3


def test_an_engine_that_is_handed_over_stays_open_and_one_that_is_named_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed, said = list[str](), list[str]()
    engine = Engine(Scripted(), lambda: 2, lambda: closed.append("closed"))
    monkeypatch.setitem(sys.modules, "clusters", type(sys)("clusters"))
    sys.modules["clusters"].make = lambda: engine  # type: ignore[attr-defined]
    with using(engine, said.append) as found:
        assert found is engine
    assert not closed
    with using("clusters:make", said.append):
        pass
    assert closed == ["closed"]
    assert said == ["engine: 2 workers"] * 2


def test_engines_are_imported_only_when_they_are_named() -> None:
    modules = "policysearch.engines, policysearch.tune.api, policysearch.compare.api"
    code = (
        f"import sys, {modules}; sys.exit(not sys.modules.keys().isdisjoint(['distributed', 'dask', 'ray']))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_extra_dask_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"dask is not installed; pip install 'policysearch\[dask\]'"):
        opened("dask=tcp://127.0.0.1:1")
