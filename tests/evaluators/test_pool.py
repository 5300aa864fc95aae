"""The pool of processes: the numbers of the serial run, whatever happens to its workers."""

import contextlib
import functools
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nasty
import numpy as np
import pytest
from problems import WALKER, Walk
from same_rollouts import assert_same
from test_functions import SPACE

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators import EpisodeEvaluator, FunctionEvaluator, PoolEvaluator
from policysearch.evaluators.worker_process import memory_of
from policysearch.seeding import seed_of, stream

pytestmark = pytest.mark.usefixtures("warm_workers")

KEY, TESTS = (3, "pool"), Path(__file__).parent.parent
PARAMS = stream("pool").standard_normal((5, 4))


def proposal(params: Array = PARAMS, episodes: int = 4, **options: Any) -> Proposal:
    return Proposal(params, params[0], episodes, **options)


@pytest.fixture
def make_pool() -> Iterator[Callable[..., PoolEvaluator]]:
    """Pools that are closed after the test."""
    made: list[PoolEvaluator] = []

    def make(env: Any = Walk, workers: int = 2, **options: Any) -> PoolEvaluator:
        made.append(PoolEvaluator(EpisodeEvaluator(env, WALKER), workers=workers, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def calm(asked: Proposal) -> Evaluation:
    """What a serial run of a faultless walk gives."""
    return EpisodeEvaluator(Walk, WALKER).evaluate(asked, KEY)


def bad_episodes(episodes: int) -> set[int]:
    return {j for j in range(episodes) if seed_of(*KEY, "episode", j) % 6 == 0}


def assert_only_bad_episodes_failed(found: Evaluation, reason: str) -> None:
    n, k = found.returns.shape
    bad = bad_episodes(k)
    assert 0 < len(bad) < k
    assert {f.episode for f in found.failures} == bad
    assert len(found.failures) == len(bad) * n
    for failure in found.failures:
        assert reason in failure.reason, failure.reason
        assert failure.seed == seed_of(*KEY, "episode", failure.episode)
    good = [j for j in range(k) if j not in bad]
    expected = calm(proposal(PARAMS[:n], k))
    assert found.returns[:, good].tobytes() == expected.returns[:, good].tobytes()
    assert np.isnan(found.returns[:, sorted(bad)]).all()


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.nightly), 2, 3])
def test_the_results_are_those_of_the_serial_run(
    make_pool: Callable[..., PoolEvaluator], workers: int
) -> None:
    made = make_pool(workers=workers)
    for options in ({}, {"sample": True, "record": True, "moments": True}, {"moments": True}):
        asked = proposal(**options)
        assert_same(made.evaluate(asked, KEY), calm(asked))
    assert made.evaluate(proposal(), KEY).retried_rollouts == 0


def test_functions_run_in_a_pool_too() -> None:
    inner = FunctionEvaluator(slope, SPACE)
    params = stream(1).standard_normal((6, 2))
    asked = Proposal(params, params[0], 3)
    with PoolEvaluator(inner, workers=2) as made:
        assert_same(made.evaluate(asked, KEY), inner.evaluate(asked, KEY))


def leaks(params: Any, seed: int) -> float:
    """Keeps a file open, of which there may be few more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not KEPT:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, hard))
    KEPT.append(os.open(os.devnull, os.O_RDONLY))
    return slope(params, seed)


KEPT: list[int] = []


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_rollouts_that_raise_for_what_others_left_open_are_run_again_in_a_new_worker() -> None:
    params = stream(1).standard_normal((40, 2))
    asked = Proposal(params, params[0])
    with PoolEvaluator(FunctionEvaluator(leaks, SPACE), workers=2) as made:
        found = made.evaluate(asked, KEY)
    assert found.returns.tobytes() == FunctionEvaluator(slope, SPACE).evaluate(asked, KEY).returns.tobytes()
    assert found.failures == ()
    assert found.retried_rollouts > 0
    assert found.retried_rollouts % 2 == 0  # a second time there, and in the new worker


def test_a_rollout_that_raises_wherever_it_is_run_has_failed() -> None:
    params = stream(1).standard_normal((30, 2))
    with PoolEvaluator(FunctionEvaluator(picky, SPACE), workers=1) as made:
        found = made.evaluate(Proposal(params, params[0]), KEY)
    failed = [failure.candidate for failure in found.failures]
    assert failed == [i for i, row in enumerate(params) if SPACE.named(row)["kd"] > 0.0]
    assert 10 < len(failed) < 20
    assert found.retried_rollouts == len(failed)  # once each, as with no worker


def picky(params: Any, seed: int) -> float:
    if params["kd"] > 0.0:
        raise ArithmeticError("no solution")
    return 1.0


def slope(params: Any, seed: int) -> float:
    return sum(params.values()) + seed % 7


@pytest.mark.parametrize(
    "env",
    [
        nasty.Quits,
        nasty.Killed,
        *(pytest.param(env, marks=pytest.mark.nightly) for env in (nasty.SysExits, nasty.Segfaults)),
    ],
)
def test_a_rollout_whose_worker_dies_once_is_run_again(
    make_pool: Callable[..., PoolEvaluator], env: Any, tmp_path: Path
) -> None:
    made = make_pool(functools.partial(with_environment, env, str(tmp_path)))
    found = made.evaluate(proposal(), KEY)
    assert_same(found, calm(proposal()))
    assert found.retried_rollouts == len(bad_episodes(4)) == len(list(tmp_path.iterdir()))


def with_environment(env: Any, once: str) -> Any:
    """`env` in a process whose ONCE is set: workers do not inherit a later change of the environment."""
    if once:
        os.environ["ONCE"] = once
    else:
        os.environ.pop("ONCE", None)
    return env()


@pytest.mark.parametrize(
    ("env", "reason", "retries"),
    [
        (nasty.Quits, "it ended its process (exit code 7), 2 times", 1),
        pytest.param(
            nasty.Segfaults,
            "it ended its process (exit code -11), 2 times",
            1,
            marks=pytest.mark.nightly,  # the system writes what a core holds
        ),
        pytest.param(
            nasty.Killed, "its worker was killed (exit code -9), 3 times", 2, marks=pytest.mark.nightly
        ),
        (nasty.Raises, "step: OddError: a leg broke", 0),
    ],
)
def test_a_rollout_that_always_kills_its_worker_has_failed_and_the_others_have_not(
    make_pool: Callable[..., PoolEvaluator], env: Any, reason: str, retries: int
) -> None:
    found = make_pool(functools.partial(with_environment, env, "")).evaluate(proposal(PARAMS[:2]), KEY)
    assert_only_bad_episodes_failed(found, reason)
    assert found.retried_rollouts == retries * len(found.failures)


@pytest.mark.parametrize("env", [nasty.Sleeps, pytest.param(nasty.Spins, marks=pytest.mark.nightly)])
def test_a_rollout_that_hangs_is_ended_at_the_time_out(
    make_pool: Callable[..., PoolEvaluator], env: Any
) -> None:
    made = make_pool(functools.partial(with_environment, env, ""), timeout=0.5)
    made.evaluate(proposal(PARAMS[:1], episodes=1, sample=True), (77,))  # workers are up
    found = made.evaluate(proposal(PARAMS[:1]), KEY)  # which would hang for good
    assert_only_bad_episodes_failed(found, "it took more than 0.5 s, 3 times")


def test_a_worker_that_leaks_is_replaced_between_rollouts(make_pool: Callable[..., PoolEvaluator]) -> None:
    limit = 400 * 2**20
    made, pids, highest = make_pool(nasty.Leaks, memory_limit=limit), set(), 0
    for turn in range(6):
        asked = proposal(PARAMS, episodes=2)
        found = made.evaluate(asked, (turn,))
        assert_same(found, EpisodeEvaluator(Walk, WALKER).evaluate(asked, (turn,)))
        assert found.retried_rollouts == 0
        pids |= {worker.process.pid for worker in made.workers.living}
        highest = max([highest, *(memory_of(worker.process.pid) for worker in made.workers.living)])
    assert len(pids) > 2
    assert highest < limit + 25 * 2**20


@pytest.mark.nightly
def test_a_rollout_that_takes_all_memory_is_stopped(make_pool: Callable[..., PoolEvaluator]) -> None:
    made = make_pool(functools.partial(with_environment, nasty.Swells, ""), memory_limit=300 * 2**20)
    found = made.evaluate(proposal(PARAMS[:1]), KEY)
    assert_only_bad_episodes_failed(found, f"it used more than {600 * 2**20} bytes, 2 times")


def storm(kills: int, candidates: int, episodes: int, pause: float) -> None:
    """Workers are killed at random while a generation runs; its results are those of a calm one."""
    params = stream("storm").standard_normal((candidates, 4))
    asked, made = proposal(params, episodes), PoolEvaluator(EpisodeEvaluator(nasty.Slow, WALKER), workers=2)
    rng, done, hit = (
        stream("when"),
        threading.Event(),
        set[Any](),
    )  # a rollout that is hit three times would have failed

    def kill() -> None:
        while not done.is_set() and len(hit) < kills:
            time.sleep(pause * rng.uniform(0.5, 1.5))
            for worker in list(made.workers.living):
                if worker.is_ready and worker.assigned and worker.assigned[0] not in hit:
                    hit.add(worker.assigned[0])
                    with contextlib.suppress(OSError, ValueError):  # it has just ended
                        os.kill(worker.process.pid, signal.SIGKILL)
                    break

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = made.evaluate(asked, KEY)
    finally:
        done.set()
        killer.join()
        made.close()
    assert len(hit) == kills
    assert_same(found, EpisodeEvaluator(Walk, WALKER).evaluate(asked, KEY))
    assert 0.5 * kills < found.retried_rollouts <= kills


@pytest.mark.nightly
def test_killed_workers_change_nothing() -> None:
    storm(kills=12, candidates=5, episodes=8, pause=0.15)


@pytest.mark.nightly
def test_two_hundred_killed_workers_in_two_thousand_rollouts_change_nothing() -> None:
    storm(kills=200, candidates=100, episodes=20, pause=0.4)


SCRIPT = """
    import sys
    sys.path.insert(0, {tests!r})
    import nasty
    from problems import WALKER
    from policysearch.evaluators import EpisodeEvaluator, PoolEvaluator
    from policysearch.core import Proposal
    import numpy as np

    if __name__ == "__main__":
        pool = PoolEvaluator(EpisodeEvaluator(nasty.{env}, WALKER), workers=2)
        params = np.zeros((4, 4))
        pool.evaluate(Proposal(params[:2], params[0]), (0,))
        print(*(worker.process.pid for worker in pool.workers.living), flush=True)
        pool.evaluate(Proposal(params, params[0], 1000), (1,))
"""


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        *(pytest.param(how, marks=pytest.mark.nightly) for how in (signal.SIGTERM, signal.SIGINT)),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker ends after its rollout")
def test_no_worker_outlives_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    script, children = tmp_path / "main.py", tmp_path / "children"
    children.mkdir()
    script.write_text(
        textwrap.dedent(SCRIPT).format(tests=str(TESTS), env="EndlessWithProcess"), encoding="utf-8"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent), "CHILDREN": str(children)},
    )  # fmt: skip
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    started = [int(path.name) for path in children.iterdir()]
    assert started
    pids += started
    time.sleep(0.1)
    parent.send_signal(how)
    parent.communicate(timeout=30)
    deadline = time.monotonic() + 1.5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_evaluation_after_an_interrupted_one_is_right(make_pool: Callable[..., PoolEvaluator]) -> None:
    made = make_pool(nasty.Slow)
    timer = threading.Timer(0.6, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        made.evaluate(proposal(PARAMS, episodes=200), KEY)
    timer.join()
    assert_same(made.evaluate(proposal(episodes=1), KEY), calm(proposal(episodes=1)))


def test_an_environment_that_cannot_be_built_in_a_worker_is_an_error(
    make_pool: Callable[..., PoolEvaluator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARENT", str(os.getpid()))
    made = make_pool(nasty.OnlyOnce)
    with pytest.raises(RuntimeError, match=r"could not start \(exit code 9\): the simulator cannot be built"):
        made.evaluate(proposal(), KEY)


def test_bad_requests_are_refused() -> None:
    inner = EpisodeEvaluator(Walk, WALKER)
    for name in ("workers", "timeout", "memory_limit", "start_timeout"):
        with pytest.raises(ValueError, match=f"{name}: expected a positive number, got 0"):
            PoolEvaluator(inner, **{name: 0})  # type: ignore[arg-type]
    lock = threading.Lock()
    with (
        PoolEvaluator(EpisodeEvaluator(lambda: lock and Walk(), WALKER), workers=1) as made,
        pytest.raises(
            TypeError, match=r"got something that cannot: .*; build such an object in the function"
        ),
    ):
        made.evaluate(proposal(), KEY)
    with (
        PoolEvaluator(inner, workers=1) as made,
        pytest.raises(ValueError, match="params: expected 4 numbers"),
    ):
        made.evaluate(proposal(np.zeros((1, 3))), KEY)


@pytest.mark.nightly
def test_memory_does_not_grow_over_two_thousand_rollouts() -> None:
    asked = proposal(PARAMS, episodes=100, sample=True, record=True, moments=True)
    with PoolEvaluator(EpisodeEvaluator(Walk, WALKER), workers=2) as made:
        made.evaluate(asked, KEY)
        before = [memory_of(worker.process.pid) for worker in made.workers.living]
        ours = memory_of(os.getpid())
        for turn in range(4):
            made.evaluate(asked, (turn,))
        for worker, was in zip(made.workers.living, before, strict=True):
            assert memory_of(worker.process.pid) < 1.05 * was
        assert memory_of(os.getpid()) < 1.05 * ours
