"""A cluster of Dask: its workers are killed, stopped and differ while a tuning or a comparison runs."""

import contextlib
import gc
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import in_process
import pytest
import tomli_w

pytest.importorskip("distributed", reason="needs the extra dask")

import dask

import policysearch
from policysearch import tune
from policysearch.compare.__main__ import main
from policysearch.compare.api import compare
from policysearch.compare.journal import NAME, StudyJournal
from policysearch.compare.result import CompareResult
from policysearch.engines import Engine, EngineLost, WorkerDiffers, opened, runs
from policysearch.engines import engine as engine_module
from policysearch.ledger import read
from policysearch.space import Parameter, Space
from policysearch.tune.result import TuneResult

sys.path.append(str(Path(__file__).parent))
import plants
from cluster import HERE, TESTS, Cluster, wait_until

SPACE = Space((Parameter("x", 2.0, -5.0, 5.0),))
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of Dask, when its scheduler ends
    pytest.mark.usefixtures("warm_workers", "blank_pictures", "no_tune_pictures"),
]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


def at(*lines: int, act: Callable[[], object]) -> Callable[..., None]:
    """A progress callback that runs an action at each of the calls named."""
    calls: list[object] = []

    def told(*call: object) -> None:
        calls.append(call)
        if len(calls) in lines:
            act()

    return told


def losses(cluster: Cluster, engine: Engine) -> Callable[[], None]:
    """Kills a worker at the first call, and at the second its node, for which another one joins."""
    first = cluster.worker()
    calls: list[Any] = []

    def act() -> None:
        calls.append(process := int(next(reversed(engine.seen)).split()[1]))
        if len(calls) == 1:
            os.kill(process, signal.SIGKILL)
            return
        assert first.poll() is None
        cluster.signal(first, signal.SIGKILL)
        cluster.worker()

    return act


def as_workers_answer(engine: Engine, act: Callable[[], None]) -> Callable[..., None]:
    """A callback that acts when the first worker has answered, and once more after the second."""
    acted = list[int]()

    def told(*_: object) -> None:
        if len(acted) < 2 and len(engine.seen) > len(acted):
            acted.append(len(engine.seen))
            act()

    return told


def tuned(engine: str | Engine | None, **more: object) -> TuneResult:
    return tune(plants.slow, SPACE, 60, "random-search", goal="minimise", engine=engine, **more)


def same(far: TuneResult, near: TuneResult) -> None:
    assert far.values == near.values
    assert far.held_out.returns.tobytes() == near.held_out.returns.tobytes()
    assert far.history.equals(near.history)


def test_a_tuning_has_the_bits_of_a_local_one_though_a_worker_and_a_node_are_killed_and_another_joins(
    cluster: Cluster,
) -> None:
    engine = cluster.engine()
    far = tuned(engine, progress=as_workers_answer(engine, losses(cluster, engine)))
    assert len(engine.seen) == 3
    same(far, tuned(None, workers=4))
    engine.close()


def test_a_node_that_is_stopped_holds_up_nothing(cluster: Cluster) -> None:
    nodes = [cluster.worker(), cluster.worker()]
    engine = cluster.engine()
    wait_until(lambda: engine.slots() == 2, "two workers")
    engine.close()
    same(
        tuned(cluster.name, progress=at(3, act=lambda: cluster.signal(nodes[0], signal.SIGSTOP))),
        tuned(None, workers=4),
    )


STUDY = {
    "tasks": ["slow_env:Slow-v0"],
    "optimizers": ["cma-es", "random-search"],
    "rollouts": 100,
    "runs": 2,
    "curve_points": 1,
}


def frames(result: CompareResult) -> str:
    return result.runs.drop(columns="wall_seconds").to_csv() + result.curves.to_csv()


@pytest.fixture(scope="module")
def near() -> str:
    return frames(compare(STUDY, workers=2, progress=False))


def test_a_comparison_has_the_tables_of_a_local_one_though_a_worker_and_a_node_are_killed_and_another_joins(
    cluster: Cluster, near: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runs, "FIRST_SLICE", 0.3)  # so that much is left to do after the first answers
    engine, evaluated = cluster.engine(), StudyJournal.evaluated
    acting = as_workers_answer(engine, losses(cluster, engine))

    def counting(*arguments: object) -> None:
        evaluated(*arguments)  # type: ignore[arg-type]
        acting()

    monkeypatch.setattr(StudyJournal, "evaluated", counting)
    assert frames(compare(STUDY, engine=engine, progress=False, out=tmp_path / "out")) == near
    assert len(engine.seen) == 3
    engine.close()


def test_a_scheduler_that_is_killed_is_an_engine_that_is_lost_and_the_same_command_continues(
    cluster: Cluster, near: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster.worker()
    evaluated = StudyJournal.evaluated

    def killing(*arguments: object) -> None:
        evaluated(*arguments)  # type: ignore[arg-type]
        cluster.signal(cluster.scheduler, signal.SIGKILL)

    monkeypatch.setattr(StudyJournal, "evaluated", killing)
    out = tmp_path / "out"
    file = tmp_path / "study.toml"
    file.write_text(tomli_w.dumps(STUDY), encoding="utf-8")
    found = in_process.run(main, str(file), "--out", str(out), "--engine", cluster.name)
    assert found.returncode == 3, found.stderr
    assert "the same command continues" in found.stderr
    assert "Traceback" not in found.stderr
    assert any(event.kind == "generation" for event in read(out / NAME))
    monkeypatch.undo()
    assert frames(compare(STUDY, out=out, progress=False)) == near


def test_a_tuning_whose_scheduler_is_killed_continues_where_it_was(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("distributed"), "propagate", True)  # to what pytest keeps
    cluster.worker()
    out = tmp_path / "out"
    with pytest.raises(EngineLost):
        tuned(
            cluster.name,
            out=out,
            progress=at(3, act=lambda: cluster.signal(cluster.scheduler, signal.SIGKILL)),
        )
    shown = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [record for record in shown if record.exc_info]  # tracebacks of Dask
    same(tuned(None, out=out), tuned(None))


def test_a_worker_that_differs_is_refused_before_the_first_rollout(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = tmp_path / "counted"
    monkeypatch.setenv("POLICYSEARCH_COUNTED", str(counted))
    edited, older = tmp_path / "edited", tmp_path / "older"
    for folder in (counted, edited, older):
        folder.mkdir()
    text = Path(plants.__file__).read_text(encoding="utf-8")
    (edited / "plants.py").write_text(text.replace('return params["x"]\n', 'return -params["x"]\n'))
    package = Path(policysearch.__file__).parent
    shutil.copytree(package, older / "policysearch", ignore=shutil.ignore_patterns("__pycache__"))
    with (older / "policysearch/seeding.py").open("a", encoding="utf-8") as file:
        file.write("\n# another one\n")
    rows = [
        ([edited, HERE, TESTS], r"module plants .* is another one"),
        ([older, HERE, TESTS], "source of policysearch is"),
        ([TESTS], "module plants is not there"),
    ]
    for folders, said in rows:
        node = cluster.worker(folders)
        with pytest.raises(WorkerDiffers, match=said):
            tune(plants.counted, SPACE, 20, engine=cluster.name)
        cluster.signal(node, signal.SIGKILL)
    assert not list(counted.iterdir())


def test_messages_are_encrypted_and_who_has_no_certificate_is_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subject = ["-subj", "/CN=policysearch", "-days", "1", "-nodes", "-newkey", "rsa:2048"]
    subprocess.run(
        ["openssl", "req", "-x509", *subject, "-keyout", key, "-out", cert],  # noqa: S607
        check=True,
        capture_output=True,
    )
    cluster = Cluster(
        tmp_path, "--protocol", "tls", "--tls-ca-file", cert, "--tls-cert", cert, "--tls-key", key
    )
    try:
        cluster.worker()
        assert cluster.address.startswith("tls://")
        with pytest.raises(ValueError, match="TLS"):
            opened(f"dask={cluster.address}")
        mine = {"ca-file": cert, "client.key": key, "client.cert": cert}
        with dask.config.set({f"distributed.comm.tls.{name}": file for name, file in mine.items()}):
            far = tune(plants.cost, SPACE, 20, "random-search", engine=f"dask={cluster.address}")
        assert far.history.equals(tune(plants.cost, SPACE, 20, "random-search").history)
    finally:
        cluster.close()


def test_a_connection_that_tells_nothing_more_is_an_engine_that_is_lost(cluster: Cluster) -> None:
    """Dask's client stays in the state running when what listens to the scheduler has ended by an error."""
    engine = cluster.engine()
    (client,) = engine.slots.args  # type: ignore[attr-defined]
    assert engine.slots() == 0
    client.loop.add_callback(client._handle_report_task.cancel)
    wait_until(client._handle_report_task.done, "the end of the task")
    assert client.status == "running"
    with pytest.raises(EngineLost, match="tells nothing more"):
        engine.slots()
    engine.close()


def test_an_address_at_which_nothing_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "CONNECT_SECONDS", 0.5)
    with pytest.raises(EngineLost, match=r"^engine: nothing answers at tcp://127\.0\.0\.1:1: is a scheduler"):
        opened("dask=tcp://127.0.0.1:1")


def test_dask_alone_needs_a_scheduler_that_its_configuration_names(cluster: Cluster) -> None:
    with pytest.raises(ValueError, match="DASK_SCHEDULER_ADDRESS"):
        opened("dask")
    with dask.config.set({"scheduler-address": cluster.address}):
        engine = opened("dask")
        assert engine.slots() == 0
        engine.close()


@pytest.mark.parametrize("address", ["tls://127.0.0.1:1", "tcp://127.0.0.1:1", "tcp://127.0.0.1:no"])
def test_a_client_that_cannot_connect_leaves_no_thread(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "CONNECT_SECONDS", 0.5)
    before = {*threading.enumerate()}
    with pytest.raises((ValueError, EngineLost)) as error:
        opened(f"dask={address}")
    assert not [thread for thread in {*threading.enumerate()} - before if thread.is_alive()], error.value


@pytest.mark.timeout(30)
def test_a_client_that_was_left_open_is_not_waited_for_while_another_one_starts(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed.utils

    start, left = distributed.utils._CollectErrorThread, []

    def starting(**options: Any) -> Any:  # with the lock of all starts and ends
        left.clear()
        gc.set_threshold(50, 2, 2)
        garbage = [[number] for number in range(10_000)]  # whose making collects, if anything does
        gc.set_threshold(*thresholds)
        alive.append(client() is not None and len(garbage))
        return start(**options)

    thresholds, alive = gc.get_threshold(), list[object]()
    try:
        gc.freeze()
        gc.collect()  # so that a collection of everything is due soon
        left.append(distributed.Client.__new__(distributed.Client))
        with contextlib.suppress(TypeError):  # without certificates
            left[0].__init__("tls://127.0.0.1:1", set_as_default=False)
        left[0].itself, client = left[0], weakref.ref(left[0])
        monkeypatch.setattr(distributed.utils, "_CollectErrorThread", starting)
        opened(cluster.name).close()
        assert (left, alive) == ([], [10_000])
    finally:
        gc.unfreeze()


#: What a driver writes down, each of them once at least.
EVENTS = ("study", "session", "runs", "check", "generation", "run", "commit")


@pytest.mark.nightly
@pytest.mark.parametrize("event", EVENTS)
def test_a_driver_that_is_killed_at_any_kind_of_event_continues_to_the_same_tables(
    cluster: Cluster, near: str, tmp_path: Path, event: str
) -> None:
    cluster.worker()
    cluster.worker()
    out, codes = tmp_path / "out", []
    for place in (1, 2, 3):
        script = [sys.executable, str(Path(__file__).with_name("killed_driver.py"))]
        command = [*script, event, str(place), str(out), cluster.name, json.dumps(STUDY)]
        path = os.pathsep.join([str(Path(policysearch.__file__).parent.parent), str(TESTS)])
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=False, timeout=200)
        codes.append(done.returncode)
    assert codes[0] == -signal.SIGKILL
    assert {*codes} <= {0, -signal.SIGKILL}
    assert frames(compare(STUDY, out=out, engine=cluster.name, progress=False)) == near
    assert {event.kind for event in read(out / NAME)} == {*EVENTS[:-1]}
