"""A study that is kept: it goes on where it stopped, with the same numbers, and never mixes with another."""

import errno
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import in_process
import numpy as np
import pandas as pd
import pytest
from problems import ANYWHERE

from policysearch.compare.__main__ import main
from policysearch.compare.comparison import Comparison
from policysearch.compare.here import run_all
from policysearch.compare.journal import NAME, StudyChanged, StudyJournal
from policysearch.compare.run import Job, Result, execute
from policysearch.compare.saved import load_all
from policysearch.compare.session import Shard, StudySession
from policysearch.compare.study import Study
from policysearch.compare.verdict import verdict
from policysearch.compare.workers import Died, Work
from policysearch.core import tunable_of
from policysearch.evaluators.recorded import ReplayDiffers
from policysearch.ledger import Ledger, LedgerError, LedgerRefused, read
from policysearch.optimizers import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("warm_workers", "blank_pictures")

TESTS = Path(__file__).parent.parent
METHODS = [*ANYWHERE, "whitened:ars"]
#: A method of each kind: of generations, of single candidates, of kept rollouts, and in a wrapper.
KINDS = ["cma-es", "nelder-mead", "off-policy-reinforce", "whitened:ars"]


def study(**changes: Any) -> Study:
    data = {"tasks": ["lqr"], "optimizers": ["random-search", "cma-es"], "rollouts": 40, "runs": 2}
    return Study.resolve({**data, **changes})


def conduct(chosen: Study, out: Path | None, workers: int = 1, shard: Shard | None = None) -> StudySession:
    if out is not None:
        out.mkdir(exist_ok=True)
    with StudyJournal(out, chosen) as journal:
        session = StudySession(chosen, journal, shard or Shard())
        for _ in session.run(workers):
            pass
    assert not session.died
    return session


def facts(session: StudySession) -> str:
    frames = Comparison.of(session)
    return frames.runs.drop(columns="wall_seconds").to_csv() + frames.curves.to_csv()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}


def crash_matrix(points: int, folder: Path, labels: list[str]) -> None:
    command = [sys.executable, str(TESTS / "crash_matrix.py"), str(points), str(folder), *labels]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert finished.returncode == 0, finished.stderr[-2000:]
    found: dict[str, Any] = {}
    for line in finished.stdout.splitlines():
        found |= json.loads(line)
    assert found == {label: [] for label in labels}


def test_a_comparison_killed_anywhere_goes_on_to_the_same_tables(tmp_path: Path) -> None:
    crash_matrix(3, tmp_path, KINDS)


@pytest.mark.nightly
@pytest.mark.parametrize("label", METHODS)
def test_a_comparison_killed_at_fifty_points_goes_on_to_the_same_tables(label: str, tmp_path: Path) -> None:
    crash_matrix(50, tmp_path, [label])


SMALL = shlex.split(
    "--tasks counting_env:Counting-v0 --rollouts 60 --runs 2 --optimizers cma-es off-policy-reinforce"
)
LARGE = shlex.split("--tasks lqr counting_env:Counting-v0 --rollouts 150 --runs 3 --optimizers all")
QUICK: list[str] = []


def flags(out: Path, arguments: list[str]) -> list[str]:
    return [*arguments, "--workers", "2", "--out", str(out)]


def csv(out: Path) -> str:
    return pd.read_csv(out / "runs.csv", dtype=str).drop(columns="wall_seconds").to_csv()


def kill_at_random(tmp_path: Path, times: int, arguments: list[str]) -> None:
    """SIGKILL of the main process of a comparison on two workers, at any of its events; then the same again."""
    calm = tmp_path / "calm"
    assert in_process.run(main, *flags(calm, arguments)).returncode == 0
    events, ended = len(read(calm / NAME)), []
    choose = random.Random(5)  # noqa: S311
    for i in range(times):
        out = tmp_path / str(i)
        command = [sys.executable, "-m", "policysearch.compare", *flags(out, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
        )
        wanted = choose.randrange(events)
        wait_until(lambda out=out, wanted=wanted: committed(out) > wanted)
        servers = set(descendants(process.pid, 1))  # of multiprocessing
        children = set(descendants(process.pid)) - servers
        process.kill()
        ended.append(process.wait())
        wait_until(lambda children=children: not any(alive(pid) for pid in children))  # no worker is left
        assert in_process.run(main, *flags(out, arguments)).returncode == 0
        assert csv(out) == csv(calm)
        assert (out / "curves.csv").read_bytes() == (calm / "curves.csv").read_bytes()
    assert -signal.SIGKILL in ended  # the others had just finished


def committed(out: Path) -> int:
    """The events in the ledger of a study, which may not be there yet."""
    try:
        return len(read(out / NAME))
    except LedgerError:
        return 0


def wait_until(happened: Callable[[], bool]) -> None:
    """Look twenty times a second, for a minute at most."""
    for _ in range(1200):
        if happened():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within a minute")


@pytest.mark.nightly
def test_a_killed_comparison_goes_on_and_leaves_no_worker_behind(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 1, SMALL)


@pytest.mark.nightly
def test_a_comparison_killed_at_25_random_times_goes_on(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 25, LARGE)


@pytest.mark.nightly
def test_the_quick_study_killed_at_random_times_goes_on(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 4, QUICK)


def descendants(pid: int, generations: int = 9) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text(encoding="ascii").split():
            found += [int(child), *(descendants(int(child), generations - 1) if generations > 1 else [])]
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.nightly
def test_a_worker_that_is_killed_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = study(
        optimizers=["cma-es", "reinforce"], tasks=["counting_env:Counting-v0"], rollouts=1000, runs=2
    )
    calm = {job: execute(chosen, job) for job in Shard().part(chosen)}
    kills, found = 0, []
    for event in run_all([Work(chosen, job) for job in calm], workers=2):
        assert not isinstance(event, Died)
        if isinstance(event, Result):
            found.append(event)
        elif event and kills < 3:
            kills += 1
            worker = next(
                pid
                for pid in descendants(os.getpid())
                if alive(pid) and "forkserver" in cmdline(pid) and not descendants(pid)
            )
            os.kill(worker, signal.SIGKILL)
    assert kills == 3
    assert len(found) == 4
    for result in found:
        row, expected = result.row, calm[result.job].row
        assert {**row, "wall_seconds": 0} == {**expected, "wall_seconds": 0}


def cmdline(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


def test_a_run_that_always_ends_its_process_has_no_result_and_disturbs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = ["counting_env:Exiting-v0", "lqr"]
    arguments = [
        "--tasks",
        *tasks,
        "--optimizers",
        "random-search",
        "--rollouts",
        "30",
        "--runs",
        "1",
        "--workers",
        "2",
    ]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert (
        "random-search on counting_env:Exiting-v0, run 0 has no result: its process ended 3 times (exit code 7"
        in said
    )
    assert "--evaluator pool" in said
    assert "Traceback" not in said
    run = "random-search on counting_env:Exiting-v0, run 0"
    shown = next(line for line in said.splitlines() if line.startswith(f"error: {run}: "))
    assert "(exit code 7), 2 times; parameters " in shown
    (header, params), *_ = load_all(tmp_path / "out/failures.npz")
    assert header.failed is not None
    assert f"candidate {header.failed.candidate}, episode {header.failed.episode}, seed " in shown
    assert f"parameters {params[0]:.6g} " in shown
    assert "to see it again: PYTHONPATH=. python -m policysearch.compare replay " in shown
    failures = pd.read_csv(tmp_path / "out/failures.csv")
    assert failures["candidate"].tolist() == [header.failed.candidate]
    runs = pd.read_csv(tmp_path / "out/runs.csv")
    assert runs["task"].tolist() == tasks
    assert np.isnan(runs["final_return"]).tolist() == [True, False]
    assert "no result: its process ended 3 times" in (tmp_path / "out/summary.md").read_text(encoding="utf-8")


@pytest.mark.nightly
def test_an_episode_that_ends_its_process_is_seen_again_by_the_command_and_another_evaluator_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = shlex.split("--tasks nasty:Quits-v0 --optimizers random-search --rollouts 30 --runs 1")
    flags += ["--workers", "2", "--out", str(tmp_path)]
    assert main(flags) == 3  # without any result
    command = capsys.readouterr().err.partition(
        "to see it again: PYTHONPATH=. python -m policysearch.compare "
    )[2]
    assert main(shlex.split(command.splitlines()[0])) == 0  # in another process, as it ends its own
    assert "it fails:  the rollout was stopped: " in capsys.readouterr().out
    assert main([*flags, "--evaluator", "pool"]) == 0
    assert pd.read_csv(tmp_path / "runs.csv")["failed_rollouts"].item() > 0


def test_a_finished_run_is_never_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = tmp_path / "counts"
    monkeypatch.setenv("COUNTS", str(counts))
    chosen = study(tasks=["counting_env:Counting-v0"])
    first = conduct(chosen, tmp_path / "out")
    ran = counts.read_text()
    events = len(read(tmp_path / "out" / NAME))
    again = conduct(chosen, tmp_path / "out")
    assert counts.read_text() == ran
    assert facts(first) == facts(again)
    assert len(read(tmp_path / "out" / NAME)) == events + 1  # the session


def test_more_runs_methods_or_tasks_continue_a_study_and_change_none_of_its_numbers(tmp_path: Path) -> None:
    small, large = (
        study(),
        study(runs=3, optimizers=["ars", "cma-es", "random-search"], tasks=["CartPole-v1", "lqr"]),
    )
    before = conduct(small, tmp_path / "out")
    with StudyJournal(tmp_path / "out", large) as journal:
        assert set(journal.grown) == {"tasks.CartPole-v1 is new", "optimizers.ars is new", "runs was 2, is 3"}
    grown = conduct(large, tmp_path / "out")
    assert facts(grown) == facts(conduct(large, None))
    for job, result in before.results.items():
        assert grown.results[job].row == result.row  # to the wall time: it was not made again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"rollouts": 50}, "rollouts was 40, is 50"),
        ({"runs": 1}, "runs was 2, is 1"),
        ({"optimizers": ["cma-es"]}, "optimizers.random-search is missing"),
        (
            {"optimizers": {"cma-es": {"sigma": 0.5}, "random-search": {}}},
            "optimizers.cma-es.sigma was 0.3, is 0.5",
        ),
        ({"tasks": {"lqr": {"policy": "mlp"}}}, "tasks.lqr.policy was not set, is mlp"),
        ({"steps": 1000}, "steps was not set, is 1000"),
        ({"evaluator": "episodes"}, "evaluator was auto, is episodes"),  # of compiled rollouts
    ],
)
def test_a_changed_study_is_refused_with_what_has_changed(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    conduct(study(), tmp_path / "out")
    before = (tmp_path / "out" / NAME).read_bytes()
    with pytest.raises(StudyChanged, match=f"holds another study; {message}") as error:
        StudyJournal(tmp_path / "out", study(**change))
    assert "pass --fresh to start over (the old ledger is kept next to it)" in str(error.value)
    assert (tmp_path / "out" / NAME).read_bytes() == before


def test_a_tuned_study_is_continued(tmp_path: Path) -> None:
    small = {"optimizers": ["cma-es"], "rollouts": 12, "runs": 1, "tune": 1}
    before = facts(conduct(study(**small), tmp_path))
    assert facts(conduct(study(**small), tmp_path)) == before


def test_another_evaluator_of_the_same_bits_continues_a_study(tmp_path: Path) -> None:
    walks = {"tasks": ["counting_env:Counting-v0"], "optimizers": ["random-search"], "runs": 1}
    before = facts(conduct(study(**walks), tmp_path / "walks"))
    for changed, kept in (
        ({"evaluator": "episodes"}, ["evaluator was auto, is episodes"]),
        ({"evaluator": "pool"}, ["evaluator was episodes, is pool"]),
        ({"evaluator": "pool", "rollout_timeout": 9.0}, ["rollout_timeout was not set, is 9"]),
    ):
        with StudyJournal(tmp_path / "walks", study(**walks, **changed)) as journal:
            assert journal.grown == kept
    with pytest.raises(StudyChanged, match="rollout_timeout was 9, is 5"):
        StudyJournal(tmp_path / "walks", study(**walks, evaluator="pool", rollout_timeout=5.0))
    last = study(**walks, evaluator="pool", rollout_timeout=9.0)
    assert facts(conduct(last, tmp_path / "walks")) == before
    conduct(study(optimizers=["random-search"], runs=1), tmp_path / "compiled")
    with StudyJournal(
        tmp_path / "compiled", study(optimizers=["random-search"], runs=1, evaluator="compiled")
    ) as same:
        assert same.grown == ["evaluator was auto, is compiled"]


def test_fresh_starts_over_and_keeps_the_old_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = shlex.split("--tasks lqr --optimizers random-search --rollouts 20 --runs 1 --workers 1")
    out = tmp_path / "out"
    assert main([*small, "--out", str(out)]) == 0
    old = read(out / NAME)
    assert main([*small, "--seed", "4", "--out", str(out)]) == 2
    assert "seed was 0, is 4" in capsys.readouterr().err
    assert main([*small, "--seed", "4", "--out", str(out), "--fresh"]) == 0
    assert "kept as" in capsys.readouterr().err
    assert repr(read(out / "ledger.1.sqlite")) == repr(old)
    assert read(out / NAME)[0].body["seed"] == 4
    assert main([*small, "--seed", "5", "--out", str(out), "--fresh"]) == 0
    assert (out / "ledger.2.sqlite").exists()


def test_a_search_that_would_go_on_otherwise_stops_and_names_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    half_done(out)
    from policysearch.optimizers import CMAES

    original = CMAES.search
    monkeypatch.setattr(
        CMAES,
        "search",
        lambda self, domain, rng: original(self, domain, np.random.default_rng(rng.integers(9))),
    )
    monkeypatch.setattr("policysearch.provenance.version", lambda name: "9.9")
    before = len(read(out / NAME))
    flags = ["--tasks", "lqr", "--optimizers", "cma-es", "--rollouts", "40", "--runs", "2", "--workers", "1"]
    assert main([*flags, "--out", str(out), "--keep", "this ledger knows no revisions"]) == 3
    said = capsys.readouterr().err
    assert "the search cannot be continued: generation 0 asks for other parameters than it did before" in said
    assert f"numpy was {np.__version__}, is 9.9" in said
    assert "--fresh" in said
    kinds = [event.kind for event in read(out / NAME)[before:]]
    assert kinds == ["kept", "runs", "session"]  # nothing was added to the search


def half_done(out: Path) -> None:
    """A study with one finished run and one in the middle."""
    conduct(study(optimizers=["cma-es"]), out)
    events = read(out / NAME)
    (out / NAME).unlink()
    ends = [i for i, event in enumerate(events) if event.kind == "run"]
    with Ledger(out / NAME) as ledger:
        for event in events[: ends[0] + 3]:
            ledger.append(event.kind, event.key, event.body)


def test_other_versions_are_no_obstacle_where_replay_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_done(tmp_path / "out")
    monkeypatch.setattr("policysearch.provenance.version", lambda name: "9.9")
    with StudyJournal(tmp_path / "out", study(optimizers=["cma-es"])) as journal:
        assert f"numpy was {np.__version__}, is 9.9" in journal.drift()
    assert facts(conduct(study(optimizers=["cma-es"]), tmp_path / "out")) == facts(
        conduct(study(optimizers=["cma-es"]), None)
    )


def test_a_ledger_of_version_1_is_continued(tmp_path: Path) -> None:
    """tests/assets/ledger_v1.sqlite was made by make_ledger_asset.py: a run finished, and one in the middle."""
    (tmp_path / "out").mkdir()
    shutil.copy(TESTS / "assets/ledger_v1.sqlite", tmp_path / "out" / NAME)
    chosen = study(optimizers=["random-search", "hill-climbing"], tasks=["lqr"], rollouts=60, runs=1)
    with StudyJournal(tmp_path / "out", chosen) as journal:
        assert [len(past.records) for past in journal.past.values()] == [6, 2]
        assert [past.result is not None for past in journal.past.values()] == [True, False]
    assert facts(conduct(chosen, tmp_path / "out")) == facts(conduct(chosen, None))


def test_a_ledger_that_is_no_studys_is_refused(tmp_path: Path) -> None:
    for i, (kind, key, body) in enumerate(
        [("cookie", (), {}), ("run", ("final", "lqr", "ars", 0), {"job": 3}), ("generation", ("x",), {})]
    ):
        out = tmp_path / str(i)
        out.mkdir()
        with Ledger(out / NAME) as ledger:
            ledger.append(kind, key, body)
        with pytest.raises(LedgerRefused, match="event 1 is not one of a study"):
            StudyJournal(out, study())


@pytest.mark.parametrize(
    ("prepare", "code", "message"),
    [
        (
            lambda path: path.write_text("no database at all " * 100),
            3,
            "not a ledger, or damaged: file is not a database",
        ),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), 3, "damaged"),
    ],
)
def test_a_damaged_ledger_gets_one_message_and_is_left_alone(
    prepare: Any, code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conduct(study(), tmp_path / "out")
    path = tmp_path / "out" / NAME
    prepare(path)
    before = path.read_bytes()
    arguments = shlex.split("--tasks lqr --optimizers random-search cma-es --rollouts 40 --runs 2")
    assert main([*arguments, "--out", str(tmp_path / "out")]) == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("error:") == 1
    assert "Traceback" not in said
    assert "pass --fresh to start over" in said
    assert path.read_bytes() == before


def test_a_second_comparison_in_the_same_folder_is_refused_with_exit_code_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StudyJournal(_made(tmp_path / "out"), study()):
        arguments = shlex.split("--tasks lqr --optimizers random-search cma-es --rollouts 40 --runs 2")
        for more in ([], ["--fresh"]):
            assert main([*arguments, *more, "--out", str(tmp_path / "out")]) == 4
            assert f"process {os.getpid()} on" in capsys.readouterr().err


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_full_disk_while_running_ends_with_exit_code_3_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--tasks", "lqr", "--optimizers", "random-search", "ars", "--rollouts", "200", "--runs", "3",
                 "--workers", "1", "--out", str(out)]  # fmt: skip
    original = Ledger.__init__

    def small(self: Ledger, path: Path, *more: Any) -> None:
        original(self, path, *more)
        self._db.execute("PRAGMA max_page_count = 12")

    monkeypatch.setattr(Ledger, "__init__", small)
    monkeypatch.setattr("policysearch.compare.journal.SECONDS_BETWEEN_COMMITS", 0.0)
    assert main(arguments) == 3
    said = capsys.readouterr().err
    assert f"{out / NAME}: cannot write: database or disk is full" in said
    assert "Traceback" not in said
    kept = len(read(out / NAME))
    assert kept > 5
    monkeypatch.setattr(Ledger, "__init__", original)
    assert main(arguments) == 0
    assert (
        csv(out)
        == pd.DataFrame(
            Comparison.of(
                conduct(study(optimizers=["random-search", "ars"], rollouts=200, runs=3), None)
            ).runs
        )
        .astype(str)
        .drop(columns="wall_seconds")
        .replace("", np.nan)
        .to_csv()
    )


@pytest.mark.parametrize("name", ["runs.csv", "report.html", "curves.svg"])
def test_a_disk_that_is_full_when_the_report_is_written_loses_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = _made(tmp_path / "out")
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == name:
            raise OSError(errno.ENOSPC, "No space left on device", str(self), None, str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    arguments = shlex.split("--tasks lqr --optimizers random-search --rollouts 20 --runs 1 --workers 1")
    assert main([*arguments, "--out", str(out)]) == 3
    said = capsys.readouterr().err
    assert f"{out / name}: cannot write: No space left on device; the runs are safe in the ledger" in said
    assert not list(out.glob(".*.part"))
    monkeypatch.undo()
    assert main([*arguments, "--out", str(out)]) == 0
    assert "continuing what is there: 1 runs finished" in capsys.readouterr().err


def test_shards_make_every_run_once_and_merge_to_the_whole(tmp_path: Path) -> None:
    chosen = study(tasks=["lqr", "CartPole-v1"], runs=3)
    parts = [Shard(i, 3).part(chosen) for i in (1, 2, 3)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 12
    tuned = study(tune=2, runs=3)
    for shard in (Shard(1, 2), Shard(2, 2)):
        assert len({job.optimizer for job in shard.part(tuned)}) == 1  # a method is tuned in one place
    whole = conduct(chosen, None)
    for i in (1, 2, 3):
        Comparison.of(conduct(chosen, tmp_path / str(i), shard=Shard(i, 3))).write(tmp_path / str(i))
    merged = Comparison.merge([Comparison.read(tmp_path / str(i)) for i in (3, 1, 2)])
    one, other = merged.summary, Comparison.of(whole).summary
    order = ["task", "optimizer"]
    pd.testing.assert_frame_equal(
        one.sort_values(order, ignore_index=True),
        other.sort_values(order, ignore_index=True),
        check_exact=True,
    )
    # all shards may also share one folder
    for i in (1, 2, 3):
        last = conduct(chosen, tmp_path / "one", shard=Shard(i, 3))
    assert len(last.results) == 12  # with what the others have made
    # tuned methods too, each tuned in one place
    chosen = study(tune=3, runs=2)
    for i in (1, 2):
        Comparison.of(conduct(chosen, tmp_path / f"t{i}", shard=Shard(i, 2))).write(tmp_path / f"t{i}")
    tuned = Comparison.merge([Comparison.read(tmp_path / f"t{i}") for i in (1, 2)])
    pd.testing.assert_frame_equal(
        tuned.summary, Comparison.of(conduct(chosen, None)).summary, check_exact=True
    )
    chosen = study(tasks=["lqr", "CartPole-v1"], runs=3)
    assert facts(conduct(chosen, tmp_path / "one")) == facts(whole)


def test_a_shard_without_a_run_in_common_or_without_any_run_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--tasks", "lqr", "--optimizers", "cma-es", "ars", "--runs", "2", "--rollouts", "20"]
    for shard, said in (
        ("1/3", "has no run in common with"),
        ("5/5", "no run of the study belongs"),
    ):
        assert main([*flags, "--workers", "1", "--shard", shard, "--out", str(tmp_path / shard[0])]) == 0
        shown = capsys.readouterr()
        assert said in " ".join((shown.out + shown.err).split())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shard", "3/2"], "--shard 3/2: expected I/N with 1 <= I <= N"),
        (["--shard", "x"], "--shard x: expected I/N"),
        (
            ["--shard", "1/2", "--settle", "3"],
            "--shard: with --settle the runs depend on the results of all others",
        ),
        (["--settle", "1"], "settle: expected 0 (off) or at least 2 groups"),
        (["--steps", "0"], "steps: Input should be greater than or equal to 1, got 0"),
        (["--tune", "-1"], "tune: Input should be greater than or equal to 0, got -1"),
    ],
)
def test_wrong_flags_get_one_message(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tasks", "lqr", *flags, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("error:") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("labels", [KINDS, pytest.param(METHODS, marks=pytest.mark.nightly)])
def test_a_budget_of_steps_stops_every_method_alike_and_cuts_off_what_goes_beyond(labels: list[str]) -> None:
    walk = "counting_env:Counting-v0"  # five steps per episode
    chosen = study(tasks=[walk], optimizers=labels, rollouts=None, steps=203, runs=1)
    for label in labels:
        result = execute(chosen, Job(walk, label, 0))
        turns = result.row["rollouts"]
        assert (
            result.row["steps"] == 5 * turns >= 203 or result.row["rollouts"] < 41
        )  # spent, or ended by itself
        assert [point["steps"] for point in result.curve] == [203 * i // 10 for i in range(11)]
        assert all(point["rollouts"] * 5 <= point["steps"] for point in result.curve)
    for label in ("reinforce", "cma-es"):
        cut, longer = (
            execute(
                study(tasks=[walk], optimizers=[label], rollouts=None, steps=n, runs=1), Job(walk, label, 0)
            )
            for n in (203, 10_000)
        )
        at = [point for point in longer.curve if point["steps"] <= 203][-1]
        assert cut.row["rollouts"] > cut.curve[-1]["rollouts"]  # the last generation went beyond
        assert at["rollouts"] <= cut.curve[-1]["rollouts"]


def test_rollouts_and_steps_may_both_be_limited() -> None:
    walk = "counting_env:Counting-v0"
    by_steps = execute(study(tasks=[walk], rollouts=100, steps=100, runs=1), Job(walk, "random-search", 0))
    assert by_steps.row["rollouts"] == 20
    by_rollouts = execute(study(tasks=[walk], rollouts=40, steps=1000, runs=1), Job(walk, "random-search", 0))
    assert by_rollouts.row["rollouts"] == 40
    beyond = execute(study(tasks=[walk], rollouts=100, steps=103, runs=1), Job(walk, "random-search", 0))
    assert beyond.row["rollouts"] == 30  # the third generation begins after 100 steps and ends after 150
    assert max(point["steps"] for point in beyond.curve) == 100
    held = execute(study(tasks=[walk], rollouts=20, runs=1), Job(walk, "random-search", 0))
    assert beyond.params.tobytes() == held.params.tobytes()
    tasks = {"lqr": {"steps": 500}, walk: {}}
    mixed = study(tasks=tasks, rollouts=50)
    assert (mixed.budget("lqr").rollouts, mixed.budget("lqr").steps) == (None, 500)
    assert (mixed.budget(walk).rollouts, mixed.budget(walk).steps) == (50, None)


@pytest.mark.parametrize(
    "label", [pytest.param(label, marks=[pytest.mark.nightly] * (label not in KINDS)) for label in METHODS]
)
def test_every_rollout_is_booked_by_what_it_was_for(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, counts = "counting_env:Counting-v0", tmp_path / "counts"
    rows = {label: {"noise_handling": True} if label == "cma-es" else {}}
    counted = study(tasks=[walk], optimizers=rows, tune=2, runs=1, rollouts=60)
    counted.problem(walk, label, run=0).evaluator.close()  # an environment is tried once in a process
    monkeypatch.setenv("COUNTS", str(counts))
    session = conduct(counted, None)
    spent = Comparison.of(session).spent
    assert spent["rollouts"].sum() == len(counts.read_text().split())
    assert spent["steps"].sum() == 5 * spent["rollouts"].sum()
    assert set(spent["stage"]) == {"tuning", "final"}
    purposes = {"search", "report"} | ({"re-evaluation"} if label == "cma-es" else set())
    assert set(spent["purpose"]) == purposes
    (result,) = session.results.values()
    final = spent[(spent["stage"] == "final") & (spent["purpose"] != "report")]
    assert final["rollouts"].sum() == result.row["rollouts"] <= 60
    assert final["steps"].sum() == result.row["steps"]


def test_tuning_is_made_on_other_seeds_with_equal_numbers_of_runs_and_the_best_is_compared(
    tmp_path: Path,
) -> None:
    rows = {"random-search": {}, "ars": {"step_size": 5.0}}  # a step so long that any other is better
    chosen = study(optimizers=rows, tune=12, runs=2, rollouts=80)
    session = conduct(chosen, tmp_path / "out")
    table = Comparison.of(session).tuning
    assert table.groupby("optimizer").size().to_dict() == {"random-search": 12, "ars": 12}
    assert table.groupby("optimizer")["configuration"].nunique().to_dict() == {"random-search": 4, "ars": 4}
    first = table[(table["optimizer"] == "ars") & (table["configuration"] == 0)]
    assert set(first["hyperparameters"]) == {"directions=8, step_size=5.0, sigma=0.03"}
    for label, group in table.groupby("optimizer"):
        means = group.groupby("configuration")["final_return"].mean()
        best = int(means.idxmax())
        assert group.loc[group["chosen"], "configuration"].unique().tolist() == [best], label
    assert 0 not in table.loc[(table["optimizer"] == "ars") & table["chosen"], "configuration"].tolist()
    # the comparison is that of a study with the chosen hyperparameters, on the comparison's own seeds
    plain = study(
        tasks={"lqr": {"options": session.tuned.tasks["lqr"].options}}, optimizers=rows, runs=2, rollouts=80
    )
    assert facts(conduct(plain, None)) == facts(session)
    Comparison.of(session).write(tmp_path / "tables")  # whose study.toml is that study
    written = Study.resolve(tomllib.loads((tmp_path / "tables/study.toml").read_text(encoding="utf-8")))
    assert facts(conduct(written, None)) == facts(session)
    seeds = {result.row["seed"] for result in session.tuning.values()}
    assert len(seeds) == 1
    assert seeds != {chosen.seed}
    # and adding a method or a task changes nobody's tuning
    more = conduct(study(optimizers={"spsa": {}, **rows}, tune=12, runs=2, rollouts=80), tmp_path / "out")
    assert more.tuned.tasks["lqr"].options["ars"] == session.tuned.tasks["lqr"].options["ars"]


def test_every_method_can_be_tuned_from_corner_to_corner() -> None:
    import dataclasses

    for name, cls in OPTIMIZERS.items():
        ranges = tunable_of(cls)
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        assert ranges or name == "auto", name  # which chooses others
        for field, (low, high) in ranges.items():
            assert 0 < low < defaults[field] < high, (name, field)
            for value in (low, high):
                cls(**{field: int(value) if isinstance(defaults[field], int) else float(value)})


def test_groups_of_runs_are_made_until_all_pairs_are_told_apart(tmp_path: Path) -> None:
    # random-search is far behind hill-climbing on lqr in every run: 10 runs decide, long before 30
    chosen = study(optimizers=["random-search", "hill-climbing"], runs=5, settle=6, rollouts=100)
    session = conduct(chosen, tmp_path / "out")
    assert session.decisions["lqr"].different.tolist() == [True]
    made = {job.run for job in session.results}
    assert made == set(range(10))
    table = Comparison.of(session)
    assert table.pairs["better"].tolist() == ["hill-climbing"]
    assert "hill-climbing is better than random-search" in verdict(table)
    # two methods that are one are never told apart, and all groups are made
    rows = {"one": {"method": "random-search"}, "two": {"method": "random-search"}}
    equal = conduct(study(optimizers=rows, runs=2, settle=2), None)
    assert not equal.decisions["lqr"].different.any()
    assert {job.run for job in equal.results} == set(range(4))
    # going on with it changes nothing
    assert facts(conduct(chosen, tmp_path / "out")) == facts(session)


def test_replay_differs_is_sent_by_a_worker_too(tmp_path: Path) -> None:
    chosen = study(optimizers=["cma-es"], evaluator="episodes")
    known = [{"proposal": "0" * 32, "returns": [], "steps": []}]
    with pytest.raises(ReplayDiffers, match="generation 0 asks for other parameters"):
        list(run_all([Work(chosen, Job("lqr", "cma-es", run), known) for run in range(2)], workers=2))


@pytest.mark.nightly
def test_tables_do_not_depend_on_the_order_in_which_runs_end(tmp_path: Path) -> None:
    chosen = study(optimizers=["random-search", "ars", "reinforce"], tune=6, rollouts=60)
    for workers in (1, 2):
        Comparison.of(conduct(chosen, None, workers)).write(tmp_path / str(workers))
    for name in ("tuning.csv", "spent.csv", "curves.csv", "summary.csv", "study.toml"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_nothing_is_compared_when_a_tuning_run_has_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be compared with hyperparameters that the missing run may change."""
    from policysearch.compare import workers

    original = workers.run_job

    def failing() -> Any:
        raise ZeroDivisionError("a bug")
        yield

    def broken(chosen: Study, job: Job, *more: Any, **options: Any) -> Any:
        if job.optimizer == "cma-es#1":
            return failing()
        return original(chosen, job, *more, **options)

    monkeypatch.setattr(workers, "run_job", broken)
    chosen = study(tune=2)
    with StudyJournal(None, chosen) as journal:
        session = StudySession(chosen, journal)
        list(session.run(1))
    assert [died.job.optimizer for died in session.died] == ["cma-es#1"]
    assert len(session.tuning) == 3
    assert session.results == {}


def test_processes_that_cannot_be_started_are_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import multiprocessing.context

    def refuse(_: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.context.ForkServerProcess, "start", refuse)
    arguments = shlex.split("--tasks lqr --optimizers random-search --rollouts 20 --runs 2 --workers 2")
    arguments += ["--evaluator", "episodes"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 3
    assert "worker processes cannot start: [Errno 11]" in capsys.readouterr().err
