"""A node that hangs, and one whose cable is pulled, on hosts of their own: network namespaces, which root makes."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

pytest.importorskip("distributed", reason="needs the extra dask")

import policysearch
from policysearch.compare.api import compare
from policysearch.compare.journal import StudyJournal
from policysearch.core import Evaluation, Proposal
from policysearch.engines import Engine, EngineEvaluator
from policysearch.evaluators import FunctionEvaluator
from policysearch.space import Parameter, Space

sys.path += [
    str(Path(__file__).parent),
    str(Path(policysearch.__file__).parent.parent / "experiments/benchmarks"),
]
import plants
from cluster import Cluster, wait_until
from namespaces import POSSIBLE, Hosts

SPACE = Space((Parameter("x", 0.0, -5.0, 5.0),))
STUDY = {
    "tasks": ["slow_env:Slow-v0"],
    "optimizers": ["cma-es", "random-search"],
    "rollouts": 300,
    "runs": 2,
    "curve_points": 1,
}
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.filterwarnings("ignore"),  # of Dask, when its scheduler ends
    pytest.mark.usefixtures("warm_workers", "blank_pictures"),
    pytest.mark.skipif(not POSSIBLE, reason="needs root, and the network namespaces of Linux"),
]


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts(2) as made:
        yield made


@pytest.fixture
def cluster(hosts: Hosts, tmp_path: Path) -> Iterator[Cluster]:
    """One with a node on each host, the second after the first; it ends before them."""
    made = Cluster(tmp_path, host=hosts.address)
    for number, address in enumerate(hosts.addresses):
        made.worker(host=address, on=hosts.on(number))
    yield made
    made.close()


def of_two(cluster: Cluster) -> Engine:
    engine = cluster.engine()
    wait_until(lambda: engine.slots() == 2, "two workers")
    return engine


@pytest.mark.parametrize("trouble", ["the node hangs", "its cable is pulled"])
def test_a_node_that_says_nothing_more_costs_no_more_than_the_evaluation_and_two_seconds(
    cluster: Cluster, hosts: Hosts, trouble: str
) -> None:
    inner = FunctionEvaluator(plants.slow, SPACE)
    params = np.linspace(-1.0, 1.0, 136)[:, None]
    asked, key = Proposal(params, params[0], 1), (7, "evaluate", 0)
    engine = of_two(cluster)
    far = EngineEvaluator(inner, engine)

    def timed() -> tuple[float, Evaluation]:
        began = time.monotonic()
        made = far.evaluate(asked, key)
        return time.monotonic() - began, made

    calm = min(timed()[0] for _ in range(3))
    acts = {
        "the node hangs": lambda: cluster.signal(cluster.processes[-1], signal.SIGSTOP),
        "its cable is pulled": lambda: hosts.pull(1),
    }
    timer = Timer(0.3 * calm, acts[trouble])
    timer.start()
    seconds, made = timed()
    timer.join()
    near = inner.evaluate(asked, key)
    assert made.returns.tobytes() == near.returns.tobytes()
    assert made.failures == near.failures
    print(f"{trouble}: {seconds:.2f} s, calm {calm:.2f} s")
    assert seconds <= 2.0 * calm + 2.0
    engine.close()


def test_a_comparison_has_the_tables_of_a_local_one_though_a_cable_is_pulled(
    cluster: Cluster, hosts: Hosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    near = compare(STUDY, workers=2, progress=False)
    evaluated, calls, engine = StudyJournal.evaluated, list[object](), of_two(cluster)

    def pulling(*arguments: object) -> None:
        evaluated(*arguments)  # type: ignore[arg-type]
        calls.append(arguments)
        if len(calls) == 10:
            hosts.pull(1)

    monkeypatch.setattr(StudyJournal, "evaluated", pulling)
    far = compare(STUDY, engine=engine, progress=False, out=tmp_path / "out")
    assert far.curves.equals(near.curves)
    assert far.runs.drop(columns="wall_seconds").equals(near.runs.drop(columns="wall_seconds"))
