"""The runs of a study on an engine have the tables of one machine, whatever happens to slices and workers."""

import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import in_process
import pytest

from policysearch.compare.__main__ import main
from policysearch.compare.api import compare
from policysearch.compare.comparison import Comparison
from policysearch.compare.here import run_all
from policysearch.compare.journal import NAME, StudyJournal
from policysearch.compare.run import Job, Result
from policysearch.compare.session import Shard, StudySession, dealt
from policysearch.compare.study import Study
from policysearch.compare.workers import Work
from policysearch.engines import Engine, EngineLost, WorkerDiffers, chunk, runs, slices
from policysearch.engines.fingerprint import Fingerprint, software
from policysearch.engines.guarded import Refused
from policysearch.evaluators.recorded import ReplayDiffers
from policysearch.ledger import read
from policysearch.plain_data import encode
from policysearch.wire import message

sys.path.append(str(Path(__file__).parent))

pytestmark = pytest.mark.usefixtures("warm_workers", "blank_pictures")


def study(**changes: Any) -> Study:
    data = {
        "tasks": ["lqr"],
        "optimizers": ["cma-es", "ars"],
        "rollouts": 60,
        "runs": 2,
        "evaluator": "episodes",
        "curve_points": 1,
    }
    return Study.resolve({**data, **changes})


class Inline(Executor):
    """Runs what it is given at once, in this process; `fate` says what becomes of each task."""

    def __init__(self, fate: Callable[[int], str] = lambda i: "run") -> None:
        self.fate, self.orders = fate, list[Any]()
        self.late: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        (order,) = args
        self.orders.append(order)
        for other, answer in self.late:
            other.set_result(answer)
        self.late.clear()
        match self.fate(len(self.orders) - 1):
            case "run":
                future.set_result(fn(order))
            case "lost":
                future.set_exception(RuntimeError("KilledWorker"))
            case "late":  # its answer comes when the next one is handed out
                self.late.append((future, fn(order)))
            case "broken":
                raise RuntimeError("cannot schedule new futures after shutdown")
        return future


def conduct(chosen: Study, executor: Inline | None = None, slots: int = 2, **more: Any) -> StudySession:
    said: list[str] = []
    maker = None if executor is None else runs.Runs(Engine(executor, lambda: slots), said.append)
    with StudyJournal(more.pop("out", None), chosen) as journal:
        session = StudySession(chosen, journal, maker=maker, **more)
        for _ in session.run(workers=1):
            pass
    return session


def generations(out: Path) -> list[tuple[Any, ...]]:
    """The generations in a ledger, in the order of the runs."""
    events = [(*event.key, event.text) for event in read(out / NAME) if event.kind == "generation"]
    return sorted(events, key=lambda event: event[:-1])


def facts(session: StudySession) -> str:
    frames = Comparison.of(session)
    return frames.runs.drop(columns="wall_seconds").to_csv() + frames.curves.to_csv()


@pytest.fixture
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "FIRST_SLICE", 0.3)


#: What happens to slices: the first ones are lost, or late; and from where on everything works.
FATES: dict[str, Callable[[int], str]] = {
    "calm": lambda i: "run",
    "lost": lambda i: "lost" if i in (0, 2) else "run",
    "late": lambda i: "late" if i == 1 else "run",
}


@pytest.mark.parametrize("fate", FATES)
def test_tables_are_those_of_one_machine(
    fate: str, short_slices: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runs, "LATE_SECONDS", 0.0)
    chosen = study(optimizers=["cma-es", "off-policy-reinforce"], tasks=["slow_env:Slow-v0"], rollouts=40)
    executor = Inline(FATES[fate])
    (tmp_path / "near").mkdir()
    far = conduct(chosen, executor, slots=1, out=tmp_path)
    assert facts(far) == facts(conduct(chosen, out=tmp_path / "near"))
    assert len(executor.orders) > 3
    assert all(isinstance(order, slices.Order) for order in executor.orders)
    assert generations(tmp_path) == generations(tmp_path / "near")


def test_the_runs_of_the_latest_slice_are_kept_and_others_are_replayed(short_slices: None) -> None:
    chosen = study(optimizers=["random-search"], tasks=["slow_env:Slow-v0"], rollouts=30, runs=2)
    executor = Inline()
    assert facts(conduct(chosen, executor, slots=1)) == facts(conduct(chosen))
    replays = [order for order in executor.orders if any(posted.known for posted in order.posted)]
    assert len(replays) > 2
    assert not slices._live


def test_a_run_that_cannot_be_made_is_refused_again_and_not_waited_for() -> None:
    chosen = study()
    fingerprint = Fingerprint(software(), {}, {})
    posted = slices.Posted(encode(chosen.document()), Job("lqr", "cma-es", 0))
    order = slices.Order((posted,), b"no message", fingerprint, 60.0, False, frozenset())
    for _ in range(2):
        answer = slices.run(order)
        assert isinstance(answer, Refused)
        assert "could not start" in answer.reason
    assert not slices._live


def test_a_run_that_has_ended_is_not_kept_also_if_nothing_but_its_end_is_new(short_slices: None) -> None:
    """The answer of a slice may be lost on the way to the driver, which then asks for the same once more."""
    chosen = study(runs=1)
    posted = [slices.Posted(encode(chosen.document()), Job("lqr", name, 0)) for name in chosen.optimizers]
    order = slices.Order(tuple(posted), message({}), Fingerprint(software(), {}, {}), 60.0, True, frozenset())
    for _ in range(2):
        answer = slices.run(order)
        assert isinstance(answer, slices.Sliced)
        assert any(isinstance(piece.end, Result) for piece in answer.pieces)
        kept = {name for _, name in slices._live}
        assert kept.isdisjoint(piece.job for piece in answer.pieces if piece.end is not None)


def test_with_fewer_runs_than_workers_rollouts_go_out() -> None:
    chosen = study(optimizers=["cma-es"], evaluator="auto")
    executor = Inline()
    assert facts(conduct(chosen, executor, slots=3)) == facts(conduct(chosen))
    assert all(isinstance(order, chunk.Order) for order in executor.orders)


def test_a_run_whose_worker_is_lost_again_and_again_has_no_result() -> None:
    session = conduct(study(optimizers=["cma-es"], runs=1), Inline(lambda i: "lost"), slots=1)
    assert [died.reason for died in session.died] == ["the engine lost its worker, 3 times"]


def test_a_run_that_ends_its_process_ends_as_on_one_machine() -> None:
    chosen = study(tasks=["counting_env:Exiting-v0"], optimizers=["random-search"], runs=2, rollouts=30)
    near = [event for event in run_all([Work(chosen, job) for job in Shard().part(chosen)], 2) if event]
    died = {died.job: died for died in near}  # type: ignore[union-attr]
    far = conduct(chosen, Inline(), slots=1).died
    assert {each.job: each.reason for each in far} == {job: each.reason for job, each in died.items()}  # type: ignore[union-attr]
    assert sum(each.crash is not None for each in far) == 1


def test_an_engine_that_is_lost_keeps_what_was_run(tmp_path: Path, short_slices: None) -> None:
    chosen = study(tasks=["slow_env:Slow-v0"], rollouts=40)
    executor = Inline(
        lambda i: "broken" if any(posted.known for posted in executor.orders[i].posted) else "run"
    )
    with pytest.raises(EngineLost):
        conduct(chosen, executor, slots=1, out=tmp_path)
    with StudyJournal(tmp_path, chosen) as journal:
        assert any(past.generations for past in journal.past.values())
    assert facts(conduct(chosen, Inline(), slots=1, out=tmp_path)) == facts(conduct(chosen))


@pytest.mark.parametrize("slots", [1, 9])
def test_a_search_that_goes_another_way_on_a_worker_stops_the_study(slots: int) -> None:
    chosen = study(optimizers=["cma-es"])
    known = [{"proposal": "0" * 32, "returns": [], "steps": []}]
    work = [Work(chosen, Job("lqr", "cma-es", run), known) for run in range(2)]
    with pytest.raises(ReplayDiffers, match="generation 0 asks for other parameters"):
        list(runs.Runs(Engine(Inline(), lambda: slots), print).make(work))


def test_a_worker_with_another_module_makes_no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    counts.touch()
    monkeypatch.setenv("COUNTS", str(counts))
    chosen = study(tasks=["counting_env:Counting-v0"])

    class Edited(Inline):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
            (order,) = args
            assert "module counting_env" in order.fingerprint.modules
            order.fingerprint.modules["module counting_env"] = "0"
            return super().submit(fn, order)

    before = counts.read_text()  # of trying the environment here, unless another test has
    with StudyJournal(None, chosen) as journal:
        session = StudySession(chosen, journal, maker=runs.Runs(Engine(Edited(), lambda: 2), print))
        with pytest.raises(WorkerDiffers, match=r"module counting_env .* is another one"):
            list(session.run(1))
    assert counts.read_text() == before


def test_waiting_for_workers_is_said_and_they_may_come_late() -> None:
    slots, said = iter([0, 0]), list[str]()
    chosen = study(optimizers=["cma-es"], runs=2)
    maker = runs.Runs(Engine(Inline(), lambda: next(slots, 2)), said.append)
    began = time.monotonic()
    events = [event for event in maker.make([Work(chosen, job) for job in Shard().part(chosen)]) if event]
    assert time.monotonic() - began > 1.5
    assert said[0] == "waiting for workers"
    assert maker.words().startswith("1 worker with ")
    assert len(events) >= 2


def test_without_progress_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    few = {"tasks": ["lqr"], "optimizers": ["cma-es"], "rollouts": 40, "runs": 1}
    compare(few, engine=Engine(Inline(), lambda: 2), progress=False)
    assert capsys.readouterr().err == ""


def test_items_are_dealt_as_cards_are() -> None:
    assert dealt([1, 2, 3, 4, 5], 2) == [[1, 3, 5], [2, 4]]
    assert dealt([1], 2) == [[1], []]


def test_a_comparison_on_an_engine_is_a_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--tasks", "lqr", "--optimizers", "cma-es", "ars", "--rollouts", "40", "--runs", "1"]
    found = in_process.run(main, *flags, "--out", str(tmp_path / "wrong"), "--engine", "nonsense")
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1].startswith("error: engine: expected dask=tcp://HOST:PORT")
    monkeypatch.setitem(sys.modules, "clusters", type(sys)("clusters"))
    sys.modules["clusters"].make = lambda: Engine(Inline(), lambda: 2)  # type: ignore[attr-defined]
    out = tmp_path / "out"
    found = in_process.run(main, *flags, "--out", str(out), "--engine", "clusters:make", "--shard", "1/2")
    assert found.returncode == 0, found.stderr
    assert "engine: 2 workers" in found.stderr
    assert '"engine"' in (out / "environment.json").read_text()
    gone = Engine(Inline(lambda i: "broken"), lambda: 2)
    sys.modules["clusters"].make = lambda: gone  # type: ignore[attr-defined]
    found = in_process.run(main, *flags, "--out", str(out), "--engine", "clusters:make")
    assert found.returncode == 3
    assert "the same command continues" in found.stderr
