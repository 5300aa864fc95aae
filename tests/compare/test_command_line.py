"""The command line as a user runs it."""

import dataclasses
import inspect
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import in_process
import numpy as np
import pandas as pd
import pytest
from in_process import Finished
from problems import ANYWHERE

from policysearch.compare import request
from policysearch.compare.__main__ import main
from policysearch.compare.api import compare
from policysearch.compare.flags import Arguments
from policysearch.compare.options import CompareOptions, EnvironmentFlags, StudySettings
from policysearch.compare.saved import load, load_all, write
from policysearch.compare.study import SPECIAL, Study, StudyError
from policysearch.optimizers import CMAES, OPTIMIZERS, HillClimbing, Repeated
from policysearch.reuse import Reuse

pytestmark = pytest.mark.usefixtures("blank_pictures", "warm_workers")

TESTS = Path(__file__).parent.parent
SMALL = [
    "--tasks", "lqr", "CartPole-v1", "--optimizers", "random-search", "cma-es", "reinforce", "whitened:ars",
    "--rollouts", "30", "--runs", "2",
]  # fmt: skip


def run(*arguments: str) -> Finished:
    return in_process.run(main, *arguments)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    out = tmp_path_factory.mktemp("compare") / "out"
    return out, run(*SMALL, "--workers", "2", "--out", str(out))


def test_a_comparison_ends_with_a_table_and_the_path_of_the_picture(
    done: tuple[Path, Finished],
) -> None:
    out, finished = done
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    for label in ("random-search", "cma-es", "reinforce", "whitened:ars"):
        assert label in finished.stdout
    assert f"picture: {out / 'curves.png'}" in finished.stdout.replace("\n", "")
    assert "16/16 runs" in finished.stderr


def test_the_folder_holds_exactly_what_is_promised(
    done: tuple[Path, Finished],
) -> None:
    out, _ = done
    names = {path.name for path in out.iterdir()}
    assert names == {
        "ledger.sqlite", "study.toml", "environment.json", "report.html", "summary.md", "result.json", "curves.png", "curves.svg",
        "runs.csv", "curves.csv", "summary.csv", "pairs.csv", "spent.csv", "recommendations.npz",
    }  # fmt: skip
    assert len(load_all(out / "recommendations.npz")) == 16
    runs, curves, summary = (pd.read_csv(out / f"{name}.csv") for name in ("runs", "curves", "summary"))
    assert list(runs) == [
        "task",
        "policy",
        "optimizer",
        "run",
        "seed",
        "d",
        "rollouts",
        "steps",
        "report_rollouts",
        "report_steps",
        "wall_seconds",
        "failed_rollouts",
        "clipped_steps",
        "start_return",
        "claimed_return",
        "final_return",
        "final_return_se",
        "remarks",
    ]
    assert list(curves) == "task policy optimizer run rollouts steps return_mean best_seen".split()  # noqa: SIM905
    assert list(summary) == [
        "task",
        "optimizer",
        "runs",
        "iqm",
        "ci_low",
        "ci_high",
        "median",
        "mean",
        "std",
        "anytime",
        "failure_rate",
    ]
    assert len(runs) == 16
    assert len(curves) == 16 * 11
    assert (runs["rollouts"] <= 30).all()
    assert "python -m policysearch.compare --tasks lqr" in (out / "summary.md").read_text()
    group = runs[(runs["task"] == "lqr") & (runs["optimizer"] == "cma-es")]["final_return"]
    row = summary[(summary["task"] == "lqr") & (summary["optimizer"] == "cma-es")].iloc[0]
    assert row["mean"] == pytest.approx(group.mean())
    assert row["median"] == pytest.approx(group.median())
    assert row["std"] == pytest.approx(group.std())


def test_one_worker_and_the_written_study_give_the_same_tables(
    done: tuple[Path, Finished], tmp_path: Path
) -> None:
    out, _ = done
    again = run(str(out / "study.toml"), "--workers", "1", "--out", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    first, second = (pd.read_csv(folder / "runs.csv", dtype=str) for folder in (out, tmp_path / "again"))
    assert first.drop(columns="wall_seconds").equals(second.drop(columns="wall_seconds"))
    for name in ("curves.csv", "summary.csv", "study.toml", "curves.svg"):
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_replay_says_that_the_return_is_the_same(
    done: tuple[Path, Finished], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = done[0] / "recommendations.npz/CartPole-v1/whitened:ars/1"
    assert main(["replay", str(file), "--video", str(tmp_path / "clip.gif")]) == 0
    said = capsys.readouterr().out
    assert "the same to the last digit" in said
    from PIL import Image

    steps = int(said.split("first episode, ")[1].split()[0])
    with Image.open(tmp_path / "clip.gif") as clip:
        frames = getattr(clip, "n_frames", 1)
    assert 1 < frames <= steps + 1
    header, params = load(file)
    write(tmp_path / "changed.npz", [(header, -params)])
    assert main(["replay", str(tmp_path / "changed.npz")]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_what_cannot_be_replayed_or_filmed_is_refused_in_one_line(
    done: tuple[Path, Finished], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = done[0] / "recommendations.npz/lqr/cma-es/0"
    header = json.loads(load(file)[0].model_dump_json())
    np.savez(tmp_path / "short.npz", params=np.zeros(2), header=np.array(json.dumps(header)))
    np.savez(tmp_path / "pickled.npz", params=np.zeros(12), header=np.array([{"a": 1}], dtype=object))
    header["stray"] = 1
    np.savez(tmp_path / "stray.npz", params=np.zeros(12), header=np.array(json.dumps(header)))
    (tmp_path / "text.npz").write_text("not an archive")
    for name, message in (
        ("short", "expected 12 parameters, got shape (2,)"),
        ("pickled", "expected a saved recommendation (.npz)"),
        ("stray", "header: stray: Extra inputs are not permitted"),
        ("text", "expected a saved recommendation (.npz)"),
        ("none", "no such file"),
    ):
        assert main(["replay", str(tmp_path / f"{name}.npz")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert message in said
        assert said.count("\n") == 1
    assert main(["replay", str(file), "--video", str(tmp_path / "lqr.gif")]) == 2
    assert "policysearch/LQR-v0: cannot render" in capsys.readouterr().err
    assert not (tmp_path / "lqr.gif").exists()


def test_a_hostile_file_is_refused_before_it_is_unpacked(
    done: tuple[Path, Finished],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("policysearch.deploy.files.MAX_BYTES", 1 << 20)
    header = json.loads(load(done[0] / "recommendations.npz/lqr/cma-es/0")[0].model_dump_json())

    def text(**changes: object) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, np.array(json.dumps(header | changes)))
        return buffer.getvalue()

    huge = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    huge += f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**11},), }}".ljust(117).encode() + b"\n"
    good = io.BytesIO()
    np.save(good, np.zeros(12))
    failed = {"key": [0], "candidate": 10**12, "episode": 0, "sample": False, "reason": ""}
    files = {
        "bomb": ({"params.npy": b"\0" * (2 << 20), "header.npy": text()}, "expected at most"),
        "size": ({"params.npy": huge, "header.npy": text()}, "expected a saved recommendation"),
        "nan": (
            {"params.npy": good.getvalue(), "header.npy": text(report_episodes=float("nan"))},
            "report_episodes",
        ),
        "place": ({"params.npy": good.getvalue(), "header.npy": text(failed=failed)}, "failed.candidate"),
        "path": ({"params.npy": good.getvalue(), "header.npy": text(), "../../evil": b"x"}, None),
    }
    for name, (entries, message) in files.items():
        path = tmp_path / f"{name}.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, data in entries.items():
                archive.writestr(entry, data)
        code = main(["replay", str(path)])
        said = capsys.readouterr().err
        assert code == (2 if message else 1), (
            name
        )  # the last is what it seems, but not of the return reported
        assert (message or "") in said
        assert "Traceback" not in said
    assert not (tmp_path.parent.parent / "evil").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "CartPol-v1"], "unknown task; did you mean CartPole-v1"),
        (["--optimizers", "cma"], "unknown optimizer 'cma'; did you mean cma-es"),
        (["--rollouts", "5", "--optimizers", "cma-es", "ars"], "a budget of 5 rollouts is smaller than one generation of cma-es (10), ars (16)"),
        (["--rollouts", "-5"], "rollouts: Input should be greater than or equal to 1, got -5"),
        (["--workers", "0"], "workers: expected at least 1, got 0"),
        (["--tasks", "Pendulum-v1", "--policy", "softmax-mlp"], "policy 'softmax-mlp' is for discrete actions"),
        (["--set", "cma-es.sigma"], "--set cma-es.sigma: expected NAME.FIELD=VALUE"),
        (["--optimizers", "ars", "--set", "cma-es.sigma=1"], "'cma-es' is not in the comparison, which has ars"),
        (["--set", "cma-es.sigma=nan"], "sigma: Input should be a finite number"),
        (["no-such-study.toml"], "no-such-study.toml: there is no such study file in /"),
        (["CartPole-v1"], "; did you mean --tasks CartPole-v1?"),
        (["."], ".: cannot read the study file"),
        (["--tasks"], "tasks: expected at least 1, got none"),
        (["--optimizers"], "optimizers: expected at least 1, got none"),
        (["--optimizers", "CMA-ES"], "unknown optimizer 'CMA-ES'; did you mean cma-es?"),
        (["--optimizers", "cma_es"], "unknown optimizer 'cma_es'; did you mean cma-es?"),
        (["--optimizers", "CrossEntropy"], "unknown optimizer 'CrossEntropy'; did you mean cross-entropy?"),
        (["--optimizers", "whitened:ARS"], "unknown optimizer 'ARS'; did you mean ars?"),
        (["--tasks", "LQR"], "unknown task; did you mean lqr?"),
        (["--tasks", "lqr", "--policy", "MLP"], "unknown policy 'MLP'; did you mean mlp?"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_message_exit_code_2_and_no_folder(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([*arguments, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--taskz", "x"], "Unrecognized options"),
        (["--rollouts", "many"], "expected a whole number, got 'many'"),
    ],
)
def test_a_wrong_flag_is_refused_with_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_default_comparison_leaves_out_methods_whose_first_generation_is_over_the_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--tasks", "lqr", "--rollouts", "15", "--runs", "1", "--workers", "1"]
    assert main([*flags, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    reason = "on lqr: a generation is larger than the budget of 15 rollouts"
    over = "hill-climbing (16), genetic (20), cross-entropy (50), evolution-strategy (20), ars (16), whitened:ars (16)"
    assert said.err.splitlines().count(f"left out: {over}: {reason}") == 1
    made = set(pd.read_csv(tmp_path / "out/runs.csv")["optimizer"])
    assert made == {
        "random-search", "nelder-mead", "cma-es", "snes", "finite-difference", "spsa", "reinforce", "off-policy-reinforce",
        "natural-gradient", "trpo", "ppo", "pgpe",
    }  # fmt: skip
    for named in (["--optimizers", "ars", "spsa"], ["--optimizers", "all"], ["--set", "ars.sigma=1.0"]):
        assert main([*flags, *named, "--out", str(tmp_path / "none")]) == 2
        message = capsys.readouterr().err
        assert "a budget of 15 rollouts is smaller than one generation of" in message
        assert "ars (16)" in message
        assert ("genetic" in message) == (named == ["--optimizers", "all"])
    assert main([*flags[:2], "--rollouts", "1", "--out", str(tmp_path / "none")]) == 2  # nobody would be left
    assert "smaller than one generation of random-search (10), hill-climbing (16)" in capsys.readouterr().err


@pytest.mark.parametrize("repeated", [[], ["--episodes-per-candidate", "2"]])
def test_whitening_a_method_that_keeps_rollouts_is_refused_also_where_candidates_are_repeated(
    repeated: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--tasks", "lqr", "--optimizers", "whitened:off-policy-reinforce", *repeated]
    assert main([*flags, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "whitened:off-policy-reinforce on lqr: whitened: the method uses rollouts of earlier" in line
    assert not (tmp_path / "out").exists()


def test_all_methods_are_those_that_can_search_the_task_unless_they_are_named() -> None:
    study, lines = request.resolve(Arguments(tasks=["lqr", "CartPole-v1"], optimizers=["all"]))
    assert list(study.optimizers) == ANYWHERE
    assert lines == ["left out: bayesian: on lqr: needs bounds for every parameter"]
    for named in (["all", "bayesian"], ["bayesian"]):
        with pytest.raises(StudyError, match="bayesian on lqr: needs bounds for every"):
            request.resolve(Arguments(tasks=["lqr"], optimizers=named))


def test_a_method_of_an_extra_is_in_no_default_comparison() -> None:
    study, lines = request.resolve(Arguments())
    general = [name for name in ANYWHERE if name not in (*SPECIAL, "lra-cma-es")]
    assert list(study.optimizers) == [*general, "whitened:ars"]
    assert lines == []


def test_the_options_are_described_once() -> None:
    assert CompareOptions.__annotations__.keys() == Study.model_fields.keys() | Reuse.model_fields.keys()
    assert all(option.description for option in Study.model_fields.values())
    flags = {field.name for field in dataclasses.fields(Arguments)}
    own = {
        "study",
        "plan",
        "set",
        "workers",
        "engine",
        "out",
        "shard",
        "log",
        "latex",
        "list",
        *Reuse.model_fields,
    }
    own |= EnvironmentFlags.model_fields.keys()  # for all tasks; a study file has them for each
    assert flags - own == Study.model_fields.keys() - {"curve_points"}
    assert StudySettings.model_fields.keys() | {"tasks", "optimizers"} == Study.model_fields.keys()
    assert set(inspect.signature(compare).parameters) == {
        "study",
        "out",
        "workers",
        "engine",
        "progress",
        "log",
        "options",
    }


def test_options_from_python_are_those_of_the_flags_and_a_misspelt_one_is_a_type_error(
    tmp_path: Path,
) -> None:
    file = tmp_path / "study.toml"
    file.write_text("runs = 1\n[tasks.lqr]\nrollouts = 20\n[optimizers.random-search]\n", encoding="utf-8")
    budget = {"rollouts": 10}
    for study in (
        file,
        str(file),
        Study.resolve({"tasks": ["lqr"], "optimizers": ["random-search"], "runs": 1}),
    ):
        found = compare(study, progress=False, rollouts=10)
        assert found.runs["rollouts"].tolist() == [10]
    one = compare(progress=False, tasks={"lqr": budget}, optimizers=["random-search"], runs=1, rollouts=30)
    assert one.runs["rollouts"].tolist() == [10]
    with pytest.raises(TypeError, match=r"unexpected keyword argument .rolouts.; did you mean rollouts\?"):
        compare(rolouts=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        ("study.toml", {}, "study.toml: there is no such study file in /"),
        (["lqr"], {}, r"study: expected a Study, a study file, or .*, got \['lqr'\]"),
        (3, {}, "study: expected a Study"),
        (None, {"tasks": 3}, "tasks: expected names, or a table of them, got 3"),
        (None, {"optimizers": [3]}, "optimizer: expected a name, such as cma-es, or a method, got 3"),
        (None, {"tasks": [3]}, r"tasks: expected names, got \[3\]"),
        (
            None,
            {"optimizers": [CMAES(), CMAES(sigma=0.1)]},
            "optimizers: cma-es is there more than once; give labels",
        ),
        (None, {"optimizers": [Repeated(CMAES(), 2)]}, "expected a method that is around no other"),
        (None, {"optimizers": {"a": Repeated}}, r"expected a configured Repeated\(\.\.\.\), or a name"),
        (None, {"optimizers": "CMAES"}, r"unknown optimizer 'CMAES'; did you mean cma-es\?"),
    ],
)
def test_what_is_no_study_is_refused_from_python_too(study: Any, options: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        compare(study, progress=False, **options)


@pytest.mark.parametrize(
    ("optimizers", "expected"),
    [
        ("random-search", {"random-search": {}}),
        ([HillClimbing(sigma=0.2), "ars"], {"hill-climbing": {"sigma": 0.2}, "ars": {}}),
        ([HillClimbing], {"hill-climbing": {}}),
        (HillClimbing(), {"hill-climbing": {}}),
        ({"small": CMAES(sigma=0.1)}, {"small": {"method": "cma-es", "sigma": 0.1}}),
    ],
)
def test_methods_may_be_given_as_themselves(optimizers: Any, expected: Any) -> None:
    found, _ = request.resolved(None, {"tasks": "lqr", "optimizers": optimizers})
    asked, _ = request.resolved({"tasks": ["lqr"], "optimizers": expected}, {})
    assert found.document() == asked.document()


def test_a_study_file_with_five_mistakes_gets_five_messages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "study.toml"
    file.write_text(
        'runs = 0\nrollouts = "many"\npolicy = "linaer"\n[tasks.CartPol-v1]\n[optimizers.cma-ess]\n',
        encoding="utf-8",
    )
    assert main([str(file), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5
    for word in ("runs", "rollouts", "policy", "CartPol-v1", "cma-ess"):
        assert any(word in line for line in said)
    file.write_text('tasks = ["lqr"]\n[optimizers]\nars = 3\n', encoding="utf-8")
    assert main([str(file), "--set", "ars.sigma=nan"]) == 2
    assert main([str(file)]) == 2
    assert "optimizers.ars: expected names, or a table of them" in capsys.readouterr().err
    file.write_text("runs = = 3", encoding="utf-8")
    assert main([str(file)]) == 2
    assert "not valid TOML" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_or_holds_another_study_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = shlex.split("--tasks lqr --optimizers random-search --rollouts 10 --runs 1 --workers 1")
    (tmp_path / "file").write_text("in the way")
    assert main([*quick, "--out", str(tmp_path / "file" / "out")]) == 2
    assert "cannot write there" in capsys.readouterr().err
    out = tmp_path / "out"
    assert main([*quick, "--out", str(out)]) == 0
    before = (out / "runs.csv").read_bytes()
    assert main([*quick, "--seed", "5", "--out", str(out)]) == 2
    assert "holds another study; seed was 0, is 5" in capsys.readouterr().err
    (out / "ledger.sqlite").unlink()  # as in a folder of published results
    assert main([*quick, "--seed", "5", "--out", str(out)]) == 2
    assert "holds the tables of another study" in capsys.readouterr().err
    assert (out / "runs.csv").read_bytes() == before
    assert main([*quick, "--seed", "5", "--out", str(out), "--fresh"]) == 0
    assert (out / "runs.csv").read_bytes() != before


def test_hyperparameters_are_set_by_flag_and_flags_override_the_file(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text("runs = 1\n[tasks.lqr]\nrollouts = 20\n[optimizers.ars]\nsigma = 0.5\n", encoding="utf-8")
    out = tmp_path / "out"
    flags = ["--set", "ars.directions=5", "--rollouts", "10", "--workers", "1", "--out", str(out)]
    assert main([str(file), *flags]) == 0
    written = (out / "study.toml").read_text()
    assert "sigma = 0.5" in written
    assert "directions = 5" in written
    assert pd.read_csv(out / "runs.csv")["rollouts"].tolist() == [10]


def test_failing_environments_do_not_stop_a_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = ["counting_env:Failing-v0", "counting_env:Broken-v0", "lqr"]
    assert main(["--tasks", *tasks, "--optimizers", "random-search", "reinforce", "--rollouts", "30", "--runs", "1",
                 "--workers", "1", "--out", str(tmp_path / "out")]) == 0  # fmt: skip
    runs = pd.read_csv(tmp_path / "out" / "runs.csv").set_index(["task", "optimizer"])
    assert 0 < runs.loc[(tasks[0], "random-search"), "failed_rollouts"] < 20
    assert runs.loc[(tasks[1], "random-search"), "failed_rollouts"] == 30
    assert runs.loc[("lqr", "reinforce"), "failed_rollouts"] == 0
    page = (tmp_path / "out" / "summary.md").read_text()
    assert "RuntimeError: a leg broke" in page
    assert "RuntimeError: out of order" in page
    assert "note:" in capsys.readouterr().out


@pytest.mark.nightly  # test_interrupted.py does it by day
def test_ctrl_c_writes_the_runs_that_have_finished_and_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "policysearch.compare", "--tasks", "lqr", "--optimizers", "random-search",
               "--rollouts", "100", "--runs", "3000", "--workers", "2", "--out", str(out)]  # fmt: skip
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )  # fmt: skip
    assert process.stderr is not None
    while not re.search(r"\b[1-9]\d*/3000 runs", process.stderr.readline()):  # at first it may say 0/3000
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted; what was run is kept. To continue: {' '.join(['python', *command[1:]])}" in rest
    assert "Traceback" not in rest
    assert 0 < len(pd.read_csv(out / "runs.csv")) < 3000


def test_the_list_names_every_method_and_its_hyperparameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    for name in OPTIMIZERS:
        assert f"  {name} " in said
    assert "population_size=50, elites=10, sigma=0.5" in said


def test_help_loads_nothing_heavy_and_teaches_by_example() -> None:
    code = (
        "import sys; from policysearch.compare.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: code = stop.code\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'gymnasium', 'cma', 'matplotlib'} & set(sys.modules)\n"
        "print('code', code, 'heavy', sorted(heavy))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )  # fmt: skip
    assert "code 0 heavy []" in finished.stdout
    assert "python -m policysearch.compare replay DIR/recommendations.npz/TASK/METHOD/RUN" in finished.stdout


def test_how_rollouts_are_run_is_said_in_one_line(done: tuple[Path, Finished], tmp_path: Path) -> None:
    assert "compiled rollouts: lqr, CartPole-v1\n" in done[1].stderr
    small = ("--optimizers", "random-search", "--rollouts", "10", "--runs", "1", "--workers", "1")
    plain = run("--tasks", "lqr", "counting_env:Counting-v0", *small, "--out", str(tmp_path / "a"))
    said = "compiled rollouts: lqr; rollouts by the environment's step: counting_env:Counting-v0"
    assert said in plain.stderr.replace("\n", " ")
    pool = run(
        "--tasks",
        "lqr",
        *small,
        "--evaluator",
        "pool",
        "--rollout-timeout",
        "30",
        "--out",
        str(tmp_path / "b"),
    )
    assert pool.returncode == 0, pool.stderr
    assert "rollouts in a pool of processes: lqr" in pool.stderr
    one, other = (pd.read_csv(tmp_path / name / "runs.csv").iloc[0] for name in "ab")
    assert one["final_return"] == other["final_return"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--evaluator", "fast"],
            "evaluator: Input should be 'auto', 'compiled', 'episodes' or 'pool', got 'fast'",
        ),
        (["--rollout-timeout", "3"], "rollout_timeout: only a pool of processes can end a rollout"),
        (["--rollout-timeout", "-1"], "rollout_timeout: Input should be greater than 0, got -1.0"),
        (
            ["--evaluator", "compiled", "--tasks", "FrozenLake-v1"],
            "tasks.FrozenLake-v1: evaluator: FrozenLake-v1 with policy linear has no compiled form; use 'episodes'",
        ),
    ],
)
def test_a_wrong_evaluator_gets_one_message(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*flags, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error:") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.nightly
def test_the_example_of_a_plant_of_ones_own_runs_compiled(tmp_path: Path) -> None:
    example = TESTS.parent / "experiments/own_plant"
    command = [
        sys.executable, "-m", "policysearch.compare", "--tasks", "balancer:Balancer-v0", "--optimizers", "cma-es",
        "--rollouts", "100", "--runs", "1", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    finished = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=example,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )  # fmt: skip
    assert "compiled rollouts: balancer:Balancer-v0" in finished.stderr
    best = pd.read_csv(tmp_path / "out/runs.csv")
    assert best["final_return"][0] > 4 * best["start_return"][0]


def test_without_a_folder_every_study_has_its_own_and_more_runs_stay_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--tasks", "lqr", "--optimizers", "random-search", "--rollouts", "20", "--workers", "1"]
    (tmp_path / "mine.toml").write_text('rollouts = 20\nruns = 1\ntasks = ["lqr"]\noptimizers = ["ars"]\n')
    for arguments in (
        [*small, "--runs", "1"],
        [*small, "--runs", "2"],
        [*small, "--seed", "1", "--runs", "1"],
        ["mine.toml"],
    ):
        assert main(arguments) == 0
    folders = sorted((tmp_path / "policysearch-results").iterdir())
    assert [folder.name.split("__")[0] for folder in folders] == ["lqr", "lqr", "mine"]
    assert sorted(len(pd.read_csv(folder / "runs.csv")) for folder in folders) == [1, 1, 2]
