"""Methods, policies and tasks from outside the package: as `module:Name`, and from installed packages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
from in_process import Finished, run

from policysearch import registry
from policysearch.compare.__main__ import main
from policysearch.compare.comparison import Comparison
from policysearch.compare.saved import Header, write
from policysearch.compare.study import Study
from policysearch.estimates.__main__ import main as gradients
from policysearch.hitl.__main__ import main as hitl
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.ledger import read
from policysearch.optimizers import OPTIMIZERS, build, find_method
from policysearch.policies import MLP, Gaussian
from policysearch.registry import NotTrusted
from policysearch.space import Parameter, Space
from policysearch.tasks import CONTROLLERS, TASKS, find_task, make_policy
from policysearch.tune.api import tune

pytestmark = pytest.mark.usefixtures("blank_pictures")

ROOT = Path(__file__).parent.parent
HERE = "plug_in_samples"
SPACE_OF_ONE = Space((Parameter("a", 1.0),))


def compared(folder: Path, *arguments: str) -> Finished:
    small = ["--rollouts", "20", "--runs", "1", "--workers", "1", "--evaluator", "episodes"]
    return run(main, *arguments, *small, "--out", str(folder))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that declares the samples as plug-ins."""
    folder = tmp_path / "mine-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.2\n")
    groups = {"optimizers": "guess = {}:Guess", "policies": "own = {}:policy", "tasks": "sampled = {}:TASK"}
    lines = [f"[policysearch.{group}]\n{line.format(HERE)}\n" for group, line in groups.items()]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n[policysearch.optimizers.x]\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.declared.cache_clear()
    registry.entry_points.cache_clear()
    yield
    registry.declared.cache_clear()
    registry.entry_points.cache_clear()


def test_the_example_of_a_method_of_ones_own_is_compared_with_three_of_ours_by_one_command(
    tmp_path: Path,
) -> None:
    """As the console script is started, which does not have the present folder on its path; in two processes."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom policysearch.compare.__main__ import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    names = ["annealing:Annealing", "hill-climbing", "cma-es", "ars"]
    command = [
        sys.executable, str(script), "--tasks", "lqr", "--optimizers", *names, "--set", "annealing:Annealing.sigma=0.1",
        "--rollouts", "20", "--runs", "1", "--workers", "2", "--evaluator", "episodes", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    own = ROOT / "experiments/own_method"
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=own, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert list(pd.read_csv(tmp_path / "out/runs.csv")["optimizer"]) == names
    sessions = json.loads((tmp_path / "out/environment.json").read_text())
    assert sessions[0]["plug-in annealing"] == "unversioned"
    study = (tmp_path / "out/study.toml").read_text()
    assert (
        '[optimizers."annealing:Annealing"]\nmethod = "annealing:Annealing"\nwhitened = false\nsigma = 0.1'
        in study
    )


def test_all_three_kinds_work_in_a_study_and_its_replay(tmp_path: Path) -> None:
    names = [f"{HERE}:Guess", f"whitened:{HERE}:Guess", "ars"]
    made = compared(
        tmp_path, "--tasks", f"{HERE}:TASK", "--optimizers", *names, "--policy", f"{HERE}:ByClass"
    )
    assert made.returncode == 0, made.stderr
    comparison = Comparison.read(tmp_path)
    assert comparison.study.references(f"{HERE}:TASK") == (-10.0, 0.0)
    assert list(comparison.runs["policy"]) == [f"{HERE}:ByClass"] * 3
    assert comparison.study.optimizers[names[1]].whitened
    assert comparison.study.optimizers[names[1]].method == f"{HERE}:Guess"
    replayed = run(main, "replay", str(tmp_path / f"recommendations.npz/{HERE}:TASK/ars/0"))
    assert replayed.returncode == 0, replayed.stderr
    assert "the same to the last digit" in replayed.stdout


def test_a_result_is_replayed_and_reported_without_the_module_of_its_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone.py").write_text("from plug_in_samples import Guess\n")
    with monkeypatch.context() as there:
        there.syspath_prepend(tmp_path)
        made = compared(tmp_path, "--tasks", "lqr", "--optimizers", "gone:Guess", "--tune", "3")
        assert made.returncode == 0, made.stderr
    monkeypatch.delitem(sys.modules, "gone")
    tables = [(tmp_path / name).read_bytes() for name in ("study.toml", "runs.csv", "tuning.csv")]
    replayed = run(main, "replay", str(tmp_path / "recommendations.npz/lqr/gone:Guess/0"))
    assert replayed.returncode == 0, replayed.stderr
    assert "the same to the last digit" in replayed.stdout
    assert run(main, "report", str(tmp_path)).returncode == 0
    assert [(tmp_path / name).read_bytes() for name in ("study.toml", "runs.csv", "tuning.csv")] == tables
    assert "gone" not in sys.modules
    again = run(main, str(tmp_path / "study.toml"), "--out", str(tmp_path))
    assert again.returncode == 2
    assert "optimizer gone:Guess: cannot import gone: ModuleNotFoundError" in again.stderr
    assert "install it, or name its folder in PYTHONPATH" in again.stderr
    assert f"the results in {tmp_path} were made with plug-in gone (unversioned)" in again.stderr


#: A module that a received file names: it says that it was imported, and what it registers works.
CANARY = """
from pathlib import Path
import gymnasium as gym
from plug_in_samples import *
gym.register("Received-v0", entry_point=Walk, max_episode_steps=5)
(Path(__file__).parent / "imported").touch()
"""


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module in the present folder of `python -m`, and the file that it makes when it is imported."""
    (tmp_path / "canary.py").write_text(CANARY)
    forget(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "imported"
    assert sys.path[:2] == [str(tmp_path), ""]  # as it was
    assert "PYTHONSAFEPATH" not in os.environ
    forget(tmp_path)


def forget(folder: Path) -> None:
    """As in a new process: the canary has not been imported."""
    sys.modules.pop("canary", None)
    registry._asked_for.discard("canary")
    gym.registry.pop("Received-v0", None)
    (folder / "imported").unlink(missing_ok=True)


def test_what_was_received_is_reported_without_its_modules_and_replayed_with_those_that_are_trusted(
    canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = canary.parent / "out"
    names = ["--tasks", "canary:Received-v0", "--policy", "canary:policy", "--optimizers", "canary:Guess"]
    made = compared(received, *names)  # a program, which runs what it names
    assert made.returncode == 0, made.stderr
    assert canary.exists()
    forget(canary.parent)
    tables = [(received / f"{name}.csv").read_bytes() for name in ("runs", "summary", "curves")]
    again = run(main, "report", str(received))
    assert again.returncode == 0, again.stderr
    assert "note: canary:Received-v0 was not imported" in again.stderr
    assert [(received / f"{name}.csv").read_bytes() for name in ("runs", "summary", "curves")] == tables
    file = str(received / "recommendations.npz")
    refused = run(main, "replay", file)
    assert refused.returncode == 2
    assert "names canary, canary, which is not part of policysearch" not in refused.stderr
    assert (
        "names canary, which is not part of policysearch: modules that a file names are not" in refused.stderr
    )
    assert "import it with --trust canary" in refused.stderr
    for command in (("report", str(received)), ("replay", file)):
        refused = run(main, *command, "--trust", "canary")
        assert refused.returncode == 2  # the present folder is not searched
        assert "--trust: cannot import canary: ModuleNotFoundError" in refused.stderr
    assert not canary.exists()
    monkeypatch.setenv("PYTHONPATH", str(received.parent))
    replayed = run(main, "replay", file, "--trust", "canary")
    assert replayed.returncode == 0, replayed.stderr
    assert "the same to the last digit" in replayed.stdout
    assert "was not imported" not in run(main, "report", str(received)).stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"env_id": "canary:Received-v0"},
        {"policy": "canary:policy"},
        {"policy": "os:abort"},  # imported, but not because this process was asked to
        {"person": "somebody", "task": "canary:TASK"},
    ],
)
def test_a_file_cannot_name_what_is_imported(changes: dict[str, Any], canary: Path, tmp_path: Path) -> None:
    head = Header(
        task="lqr", env_id="CartPole-v1", policy="linear", deploy="mode", max_episode_steps=5, stochastic=False,
        optimizer="ars", seed=0, run=0, report_episodes=20, final_return=0.0, final_return_se=0.0, param_names=("a",),
    ).model_copy(update=changes)  # fmt: skip
    file = write(tmp_path / "saved.npz", [(head, np.zeros(1))])
    for use in (Header.make_policy, Header.make_evaluator):
        with pytest.raises(NotTrusted, match="not part of policysearch"):
            use(head)
    for arguments in ([], ["--video", "clip.gif"]):
        assert run(main, "replay", str(file), *arguments).returncode == 2
    known = run(gradients, "lqr", "--at", str(file))
    assert known.returncode == 2
    assert not canary.exists()


def test_a_received_session_does_not_choose_a_method_to_be_imported(
    canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(canary.parent)
    with Session.begin(SessionPlan(optimizer="canary:Guess", bouts=10), canary.parent / "session.sqlite"):
        pass
    forget(canary.parent)
    for command in ("report", folder), ("run", "--out", folder):
        refused = run(hitl, *command)
        assert refused.returncode == 2
        assert "names canary, which is not part of policysearch" in refused.stderr
    assert not canary.exists()
    assert (
        run(hitl, "run", "--out", folder, "--optimizer", "canary:Guess").returncode == 0
    )  # at a closed prompt
    forget(canary.parent)
    monkeypatch.setenv("PYTHONPATH", folder)
    assert run(hitl, "report", folder, "--trust", "canary").returncode == 0


def test_a_task_of_ones_own_goes_by_the_name_that_it_is_asked_for_and_finds_its_environment() -> None:
    task = find_task(f"{HERE}:TASK")
    assert (task.name, task.env_id) == (f"{HERE}:TASK", f"{HERE}:Sampled-v0")
    assert task.make_policy() == Gaussian(MLP(2, 1, (2,)))
    assert find_task(f"{HERE}:Sampled-v0").policy == "linear"  # a Gymnasium id, as ever


def test_a_policy_of_ones_own_is_a_function_of_the_interface_or_a_class_with_of() -> None:
    interface = find_task(f"{HERE}:TASK").meet().interface
    for name in ("policy", "ByClass", "ByClass.of"):
        assert make_policy(f"{HERE}:{name}", interface) == Gaussian(MLP(2, 1, (2,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimizers", f"{HERE}:Gess"], f"optimizer {HERE}:Gess: module {HERE} has no Gess"),
        (["--optimizers", f"{HERE}:policy"], "expected a dataclass with search(domain, rng), got <function policy"),
        (["--optimizers", f"{HERE}:ByClass"], "expected a dataclass with search(domain, rng), got <class"),
        (["--optimizers", f"{HERE}:Misspelt"], "Misspelt: tunable: expected some of sigma, got sgima"),
        (["--optimizers", f"{HERE}:Needy"], "Needy: needs: expected Needs(...), got 'scores'"),
        (["--optimizers", f"{HERE}:Guess", "--set", f"{HERE}:Guess.sgima=1"], "sgima: not an option; did you mean sigma"),
        (["--optimizers", "no_such:Guess"], "cannot import no_such: ModuleNotFoundError: No module named 'no_such'"),
        (["--policy", "no_such:policy"], "policy no_such:policy: cannot import no_such: ModuleNotFoundError"),
        (["--policy", f"{HERE}:TASK"], "expected a callable that is given the environment's Interface and returns"),
        (["--policy", f"{HERE}:no_policy"], "(num_params, state_size, param_names, start, act), got 3"),
        (["--policy", f"{HERE}:failing"], f"policy '{HERE}:failing': RuntimeError: no such plant"),
        (["--policy", "mpl:16"], "unknown policy 'mpl'; did you mean mlp?"),
        (["--policy", "motor-pid:x"], "expected hidden layers only for mlp"),
        (["--tasks", "no_such:TASK"], "unknown task; task no_such:TASK: cannot import no_such"),
        (["--tasks", f"{HERE}:policy"], "expected a policysearch.tasks.Task, or a Gymnasium id, got <function policy"),
        (["--tasks", f"{HERE}:Nothing-v0"], "unknown task; see --list, or give a Gymnasium id, module:EnvId or"),
    ],
)  # fmt: skip
def test_a_wrong_plug_in_is_refused_in_words(arguments: list[str], message: str, tmp_path: Path) -> None:
    others = [text for text in ("--tasks lqr", "--optimizers ars") if text.split()[0] not in arguments]
    refused = compared(tmp_path / "out", *" ".join(others).split(), *arguments)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_module_that_fails_when_it_is_imported_is_named_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {"quits": "raise SystemExit(3)", "broken": "1 / 0", "unwritten": "def ("}.items():
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(ValueError, match=f"optimizer {name}:X: cannot import {name}: "):
            find_method(f"{name}:X")


def test_hyperparameters_may_have_no_default_or_one_that_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "demanding.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass, field\n"
        "@dataclass(frozen=True)\nclass Demanding:\n    steps: int\n"
        "    sizes: list[float] = field(default_factory=lambda: [1.0])\n    def search(self, domain, rng): ...\n"
    )
    with pytest.raises(ValueError, match="steps: Field required"):
        build("demanding:Demanding", {})
    made: Any = build("demanding:Demanding", {"steps": 3})
    assert (made.steps, made.sizes) == (3, [1.0])


@pytest.mark.usefixtures("installed")
def test_plug_ins_of_installed_packages_go_by_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build("guess", {"sigma": 0.1}) == find_method(f"{HERE}:Guess")(sigma=0.1)  # type: ignore[call-arg]
    task = find_task("sampled")
    assert (task.name, task.env_id) == ("sampled", f"{HERE}:Sampled-v0")
    made = compared(tmp_path / "out", "--tasks", "sampled", "--optimizers", "guess", "--policy", "own")
    assert made.returncode == 0, made.stderr
    session = json.loads((tmp_path / "out/environment.json").read_text())[0]
    assert session[f"plug-in {HERE}"] == "mine 1.2"
    assert main(["--list"]) == 0
    assert "installed plug-in: optimizer guess, mine 1.2" in capsys.readouterr().out


@pytest.mark.usefixtures("installed")
def test_what_is_installed_does_not_change_what_all_and_the_default_comparison_are() -> None:
    for known, name in ((OPTIMIZERS, "guess"), (CONTROLLERS, "own"), (TASKS, "sampled")):
        before = list(known)
        known.find(name)
        assert name in known.names()
        assert list(known) == before
    with pytest.raises(ValueError, match="unknown optimizer 'gues'; did you mean guess"):
        find_method("gues")


def test_a_name_whose_package_is_gone_is_told_with_what_made_the_results(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text('tasks = ["lqr"]\noptimizers = ["guess"]\n')
    (tmp_path / "environment.json").write_text(json.dumps([{f"plug-in {HERE}": "mine 1.2"}]))
    refused = compared(tmp_path, str(tmp_path / "study.toml"))
    assert refused.returncode == 2
    assert "unknown optimizer 'guess'" in refused.stderr
    assert f"the results in {tmp_path} were made with plug-in {HERE} (mine 1.2)" in refused.stderr


def test_a_version_is_that_of_the_installed_package_that_has_the_module() -> None:
    assert registry.version_of("numpy.linalg") == f"numpy {np.__version__}"
    assert registry.version_of("plug_in_samples") == "unversioned"
    assert Study(tasks=["lqr"], optimizers=["ars"]).plug_ins() == {}  # type: ignore[arg-type]


def test_a_method_of_ones_own_tunes_and_its_module_is_kept(tmp_path: Path) -> None:
    result = tune(
        lambda params, seed: -(params["a"] ** 2),
        SPACE_OF_ONE,
        10,
        f"{HERE}:Guess",
        options={"sigma": 0.2},
        out=tmp_path,
    )
    assert len(result.history) == 10
    kept = [event.body for event in read(tmp_path / "tune.sqlite") if event.kind == "session"]
    assert kept == [{f"plug-in {HERE}": "unversioned"}]


def test_a_method_of_ones_own_leads_a_session_and_its_module_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "session.sqlite"
    with Session.begin(SessionPlan(optimizer=f"{HERE}:Guess", bouts=10), path):
        pass
    kept = [event.body for event in read(path) if event.kind == "session"]
    assert kept[0][f"plug-in {HERE}"] == "unversioned"
