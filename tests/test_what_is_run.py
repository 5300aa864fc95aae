"""Results belong to what was run: digests of code, values, programs and files, and what is done when they differ."""

import functools
import importlib
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from policysearch.compare.__main__ import main as compare_main
from policysearch.compare.api import compare
from policysearch.compare.checks import _is_tried
from policysearch.compare.study import Study
from policysearch.digests import Digests, of_command, of_files, of_object
from policysearch.digests.agreement import OtherRun
from policysearch.ledger import Ledger, read
from policysearch.space import Parameter, Space
from policysearch.tune.__main__ import main
from policysearch.tune.api import tune
from policysearch.tune.journal import NAME

pytestmark = pytest.mark.usefixtures("blank_pictures", "no_tune_pictures")

SPACE = Space((Parameter("kp", 1.0, 0.0, 10.0), Parameter("kd", 1.0, 0.0, 10.0)))

PLANT = '''
"""A plant."""
import math
from models.arm import torque

WEIGHT = 0.5  # of the effort
LIMITS = [1.0, 2.0]


def cost(params, seed):
    """The cost."""
    from late import offset
    return torque(params["kp"]) + WEIGHT * params["kd"] + offset() + LIMITS[0]


def other(params, seed):
    return 0.0
'''
MODULES = {
    "plant.py": PLANT,
    "models/__init__.py": "",
    "models/arm.py": "from .tables import GAIN\n\n\ndef torque(kp):\n    return GAIN * kp\n",
    "models/tables.py": "GAIN = 3.0\n",
    "late.py": "def offset():\n    return 0.0\n",
}


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Digests]:
    """The digests of `plant:cost` in a folder, imported anew every time."""
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def digests() -> Digests:
        for name in ("plant", "models", "models.arm", "models.tables", "late"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return of_object(importlib.import_module("plant").cost)

    return digests


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("plant.py", "# of the effort", "# of effort", ""),
        ("plant.py", '"""A plant."""', '"""Another text."""', ""),
        ("plant.py", '    """The cost."""\n', "", ""),
        ("plant.py", "+ WEIGHT * params", "+ (\n        WEIGHT * params", None),
        ("plant.py", "\n\n\ndef other", "\n\n\n\n\ndef other", ""),
        ("plant.py", "WEIGHT = 0.5", "WEIGHT = 5.0", "WEIGHT was 0.5, is 5.0"),
        ("plant.py", "LIMITS = [1.0", "LIMITS = [1.5", "module plant has changed"),
        ("plant.py", "offset() +", "offset() -", "module plant has changed"),
        ("models/arm.py", "GAIN * kp", "GAIN * kp * kp", "module models.arm has changed"),
        ("models/tables.py", "3.0", "4.0", "module models.tables has changed"),
        ("models/__init__.py", "", "import math\n", "module models has changed"),
        ("late.py", "0.0", "1.0", "module late has changed"),
    ],
)
def test_an_edit_is_noticed_where_it_changes_what_runs(
    user: Callable[[], Digests], file: str, old: str, new: str, changed: str | None
) -> None:
    before = user()
    text = Path(file).read_text(encoding="utf-8")
    if changed is None:  # the same expression over two lines
        text, changed = (
            text.replace("+ WEIGHT * params", "+ (\n        WEIGHT * params").replace('"kd"]', '"kd"])'),
            "",
        )
    else:
        text = text.replace(old, new, 1)
    Path(file).write_text(text, encoding="utf-8")
    found = before.differences(user())
    assert (changed in found) if changed else not found, found


def test_a_global_that_is_set_from_outside_is_noticed(
    user: Callable[[], Digests], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, plant = user(), sys.modules["plant"]
    monkeypatch.setattr(plant, "WEIGHT", 0.75)
    assert before.differences(of_object(plant.cost)) == ["WEIGHT was 0.5, is 0.75"]


def base(params: Mapping[str, Any], seed: int, load: float = 1.0, **more: Any) -> float:
    return float(params["kp"] - load) ** 2


class Plant:
    """A plant with a parameter, which counts its runs."""

    def __init__(self, load: float, data: Any = None) -> None:
        self.load, self.data, self.runs = load, data, 0

    def run(self, params: Mapping[str, Any], seed: int) -> float:
        self.runs += 1
        return base(params, seed, self.load)

    __call__ = run


def closure(load: float) -> Callable[..., float]:
    return lambda params, seed: base(params, seed, load)


def with_default(load: float) -> Callable[..., float]:
    def cost(params: Mapping[str, Any], seed: int, load: float = load) -> float:
        return base(params, seed, load)

    return cost


def decorated(load: float) -> Callable[..., float]:
    inner = with_default(load)

    @functools.wraps(inner)
    def outer(*arguments: Any) -> float:
        return inner(*arguments)

    return outer


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda x: partial(base, load=x), "base.load"),
        (lambda x: partial(partial(base, load=x), more=1), "base.load"),
        (closure, "load"),
        (with_default, "default of with_default.cost.load"),
        (decorated, "default of with_default.cost.load"),
        (lambda x: Plant(x).run, "Plant.load"),
        (Plant, "Plant.load"),
        (lambda x: partial(Plant(1.0).run, load=x), "Plant.run.load"),
    ],
)
def test_a_value_that_a_callable_holds_is_named(make: Callable[[float], Any], name: str) -> None:
    first = of_object(make(2.0))
    assert not first.differences(of_object(make(2.0)))
    assert first.differences(of_object(make(5.0))) == [f"{name} was 2.0, is 5.0"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(5.0), np.arange(5.0) + 1e-12),
        (np.arange(4), np.arange(4.0)),
        ([1, [2, 3]], [1, [2, 4]]),
        ({"a": {1, 2}}, {"a": {1, 3}}),
        ((1, "a" * 100), (1, "b" * 100)),
        (Path("a"), Path("b")),
        (Plant(1.0), Plant(2.0)),
        (np.random.default_rng(1), np.random.default_rng(2)),
        (closure(1.0), closure(2.0)),
        (1, True),
    ],
)
def test_values_of_every_kind_are_digested(one: Any, other: Any) -> None:
    assert not of_object(Plant(1.0, one).run).differences(of_object(Plant(1.0, one).run))
    assert of_object(Plant(1.0, one).run).differences(of_object(Plant(1.0, other).run))
    assert not of_object(Plant(1.0, one).run).unknown


def test_two_lambdas_on_a_line_are_two_plants() -> None:
    one, other = (lambda params, seed: params["kp"] - 1.0), (lambda params, seed: params["kp"] - 2.0)
    assert of_object(one).differences(of_object(other))


def test_what_cannot_be_digested_is_named_and_circles_end() -> None:
    assert of_object(Plant(1.0, threading.Lock()).run).unknown == ("Plant.data",)
    circle: list[Any] = [1]
    circle.append(circle)
    assert not of_object(Plant(1.0, circle).run).unknown


def test_digests_are_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(
        "from policysearch.digests import of_object\nNAMES = {'a', 'b', 'c', 'd'}\n\n\n"
        "def cost(params, seed):\n    return len(NAMES)\n\n\nprint(sorted(of_object(cost).known.items()))\n",
        encoding="utf-8",
    )
    said = [
        subprocess.run(
            [sys.executable, "run.py"], cwd=tmp_path, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in "12"
    ]  # fmt: skip
    assert said[0] == said[1]
    assert "function cost" in said[0]


@pytest.mark.parametrize(
    ("command", "file", "changed"),
    [
        ("python3 plant.py {kp}", "plant.py", "file plant.py has changed"),
        ("python3 plant.py {kp}", "models/tables.py", "module models.tables has changed"),
        ("python3 -m models.arm {kp}", "models/tables.py", "module models.tables has changed"),
        ("./simulate --config=gains.ini {kp}", "gains.ini", "file gains.ini has changed"),
        ("./simulate gains.ini {kp}", "simulate", "file simulate has changed"),
        ("python3 {json} plant.py", "late.py", "module late has changed"),
        ("sh -c 'echo 1' {kp}", "late.py", ""),
    ],
)
def test_programs_and_the_files_that_they_name_are_digested(
    user: Callable[[], Digests], command: str, file: str, changed: str
) -> None:
    for name in ("simulate", "gains.ini"):
        Path(name).write_text("x", encoding="utf-8")
    before = of_command(command)
    Path(file).write_text(Path(file).read_text(encoding="utf-8") + "\nx = 1\n", encoding="utf-8")
    assert before.differences(of_command(command)) == [changed][: bool(changed)]


def test_files_and_folders_are_digested_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1", encoding="utf-8")
    before = of_files(["data"], tmp_path)
    (tmp_path / "data" / "b.csv").write_text("2", encoding="utf-8")
    assert before.differences(of_files(["data"], tmp_path)) == [f"folder {tmp_path}/data has changed"]
    one = of_files(["data/a.csv"], tmp_path)
    (tmp_path / "data" / "a.csv").write_text("3", encoding="utf-8")
    assert one.differences(of_files(["data/a.csv"], tmp_path)) == [f"file {tmp_path}/data/a.csv has changed"]
    with pytest.raises(ValueError, match=r"depends: cannot read .*gone\.fmu: No such file"):
        of_files(["gone.fmu"], tmp_path)


def test_a_study_of_another_plant_is_refused_with_what_differs(tmp_path: Path) -> None:
    def at(load: float, **more: Any) -> Any:
        plant = partial(base, load=load)
        return tune(plant, SPACE, 20, goal="minimise", report_rollouts=2, out=tmp_path, **more)

    first = at(2.0)
    with pytest.raises(
        OtherRun, match=r"base.load was 2.0, is 5.0\. Choose another folder with --out, --fresh"
    ):
        at(5.0)
    kept = at(5.0, keep="the load does not matter")
    assert kept.history.equals(first.history)
    assert "kept although base.load was 2.0, is 5.0: the load does not matter" in str(kept)
    assert "kept although" in str(at(5.0))
    fresh = at(5.0, fresh=True)
    assert not fresh.history.equals(first.history)
    assert "kept although" not in str(fresh)
    assert len(read(tmp_path / "tune.1.sqlite")) > 3


def test_the_state_of_a_plant_is_no_part_of_what_it_is(tmp_path: Path) -> None:
    plant = Plant(2.0)
    for rollouts in (12, 18, 24):
        tune(plant.run, SPACE, rollouts, goal="minimise", report_rollouts=2, out=tmp_path)
    plant.load = 3.0
    with pytest.raises(OtherRun, match=r"Plant\.load was 2.0, is 3.0"):
        tune(plant.run, SPACE, 24, goal="minimise", report_rollouts=2, out=tmp_path)


def test_a_ledger_without_digests_continues_with_a_note(tmp_path: Path) -> None:
    tuned = partial(tune, base, SPACE, 40, "hill-climbing", goal="minimise", report_rollouts=2)
    whole = tuned(out=tmp_path / "new")
    as_by_0_1_0(tmp_path / "new", tmp_path / "old")
    for _ in range(2):
        again = tuned(out=tmp_path / "old")
        assert again.history.equals(whole.history)
        assert "begun by a version that kept no digest" in str(again)


def as_by_0_1_0(new: Path, old: Path, name: str = NAME) -> None:
    """A copy of a folder whose ledger has no digests."""
    old.mkdir()
    with Ledger(old / name) as ledger:
        for event in read(new / name):
            if event.kind not in ("runs", "check"):
                ledger.append_text(event.kind, event.key, event.text)


def test_what_another_revision_of_a_method_has_found_is_not_continued(tmp_path: Path) -> None:
    tuned = partial(tune, base, SPACE, 20, "cma-es", goal="minimise", report_rollouts=2, out=tmp_path / "old")
    whole = tuned(out=tmp_path / "new")
    as_by_0_1_0(tmp_path / "new", tmp_path / "old")
    with pytest.raises(OtherRun, match=r"revision of cma-es was 1, is 2\. Choose"):
        tuned()
    assert tuned(keep="ties were impossible").history.equals(whole.history)
    assert tuned().history.equals(whole.history)  # it is the revision that is known now


def test_a_study_grows_by_a_method_of_any_revision(tmp_path: Path) -> None:
    compared = partial(compare, tasks="lqr", rollouts=60, runs=1, out=tmp_path / "old")
    compared(optimizers="hill-climbing", out=tmp_path / "new")
    as_by_0_1_0(tmp_path / "new", tmp_path / "old", "ledger.sqlite")
    compared(optimizers=["hill-climbing", "snes"])
    compared(optimizers=["hill-climbing", "snes"], runs=2)
    as_by_0_1_0(tmp_path / "old", tmp_path / "older", "ledger.sqlite")
    with pytest.raises(OtherRun, match=r"run now: revision of snes was 1, is 2\. Choose"):
        compared(optimizers=["hill-climbing", "snes"], runs=2, out=tmp_path / "older")


def test_what_another_arithmetic_of_rollouts_has_found_is_not_continued(tmp_path: Path) -> None:
    compared = partial(compare, optimizers="hill-climbing", rollouts=20, runs=1)
    compared(tasks="CartPole-v1", out=tmp_path / "new")
    as_by_0_1_0(tmp_path / "new", tmp_path / "old", "ledger.sqlite")
    again = partial(compared, tasks="CartPole-v1", out=tmp_path / "old")
    with pytest.raises(OtherRun, match=r"revision of rollouts of CartPole-v1 was 1, is 2\. Choose"):
        again()
    again(keep="its episodes end at the same steps")


def test_a_study_whose_coordinates_mean_other_values_now_is_not_continued(tmp_path: Path) -> None:
    compared = partial(compare, tasks="motor-pid", optimizers="hill-climbing", rollouts=32)
    for policy, differs in (("plug_in_samples:unbounded_gain", True), ("motor-pid", False)):
        out = tmp_path / str(differs)
        compared(policy=policy, runs=1, out=out / "new")
        as_by_0_1_0(out / "new", out / "old", "ledger.sqlite")
        again = partial(compared, policy=policy, runs=2, out=out / "old")
        if differs:
            with pytest.raises(OtherRun, match="revision of scales of parameters of motor-pid was 1, is 2"):
                again()
        else:  # what differs is another thing
            with pytest.raises(
                OtherRun, match=r"run now: revision of rollouts of motor-pid was 1, is 2\. Choose"
            ):
                again()


def test_a_ledger_of_0_1_0_is_not_continued_by_methods_that_search_otherwise_now(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent / "assets/ledger_scores_0_1_0.sqlite", tmp_path / "ledger.sqlite")
    names = ["reinforce", "off-policy-reinforce", "natural-gradient", "ppo", "random-search"]
    tasks = ["CartPole-v1", "rock-paper-scissors"]
    with pytest.raises(OtherRun, match="revision of reinforce was 1, is 4"):
        compare(tasks=tasks, optimizers=names, rollouts=40, runs=2, out=tmp_path)


def test_what_failed_is_run_again_after_it_was_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sim.py").write_text("import sys\nprint(float(sys.argv[1]) ** 2 + kdd)\n", encoding="utf-8")
    command = f"{sys.executable} -S sim.py {{kp}}"
    Path("gains.toml").write_text(
        f"command = {command!r}\ngoal = 'minimise'\nrollouts = 16\nreport_rollouts = 2\noptimizer = 'hill-climbing'\n"
        "[parameters.kp]\nstart = 1.0\nlower = -2.0\nupper = 2.0\n",
        encoding="utf-8",
    )
    assert main(["gains.toml"]) == 1
    said = capsys.readouterr()
    assert "nothing usable was found: all 16 rollouts failed, first: exit code 1: NameError" in said.out
    assert "the start fails: exit code 1: NameError" in said.err
    Path("sim.py").write_text("import sys\nprint(float(sys.argv[1]) ** 2)\n", encoding="utf-8")
    assert main(["gains.toml"]) == 2
    assert "sim.py has changed. Choose another folder with --out, --fresh" in (
        said := capsys.readouterr().err
    )
    assert "--retry-failed to run again what has failed" in said
    assert main(["gains.toml", "--retry-failed"]) == 0
    assert "rollouts of the search failed" not in capsys.readouterr().out
    assert main(["gains.toml"]) == 0


class Remembers(gym.Env[Any, Any]):
    """An environment whose `reset` forgets a part of its state."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float64)
    drift = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps = 0
        return np.ones(1), {}

    def step(self, action: Any) -> Any:
        self.drift, self.steps = self.drift + 0.1, self.steps + 1
        return np.ones(1), float(action[0]) + self.drift, False, self.steps == 5, {}


class Averages(Remembers):
    """An environment that shows something of earlier episodes, as running averages of observations do."""

    def step(self, action: Any) -> Any:
        self.drift, self.steps = self.drift + 0.1, self.steps + 1
        return np.array([self.drift]), float(action[0]), False, self.steps == 5, {}


gym.register("Remembers-v0", entry_point=Remembers)
gym.register("Averages-v0", entry_point=Averages)
SMALL = {"tasks": ["Remembers-v0"], "optimizers": ["random-search"], "rollouts": 20, "runs": 1}


def test_an_environment_that_remembers_is_refused_unless_that_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"Remembers-v0: the same parameters and the same seed gave .* and then .*"
    ):
        compare(SMALL, out=tmp_path, progress=False)
    with pytest.raises(ValueError, match="keeps something from earlier rollouts"):  # it was not forgotten
        compare(SMALL, out=tmp_path, progress=False)
    compare(SMALL, out=tmp_path, progress=False, allow_nondeterminism=True)
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "Tried before the first run: Remembers-v0: 4 rollouts, not charged; the same parameters" in summary


def test_a_study_grows_by_tasks_with_code_of_their_own(tmp_path: Path) -> None:
    study: dict[str, Any] = {"tasks": ["lqr"], "optimizers": ["random-search"], "rollouts": 10, "runs": 1}
    compare(study, out=tmp_path, progress=False)
    both = compare(study | {"tasks": ["lqr", "Licensed-v0"]}, out=tmp_path, progress=False)
    assert len(both.runs) == 2


def test_compiled_rollouts_are_not_tried() -> None:
    """They are functions of their seeds; so no process is started for them."""
    study = Study.resolve({"tasks": ["CartPole-v1", "counting_env:Counting-v0"], "optimizers": ["ars"]})
    assert [_is_tried(study, name) for name in study.tasks] == [False, True]
    assert not _is_tried(Study.resolve({"tasks": ["exoskeleton"], "optimizers": ["ars"]}), "exoskeleton")
    of_its_own = Study.resolve({"tasks": ["CartPole-v1"], "optimizers": ["ars"], "evaluator": "episodes"})
    assert _is_tried(of_its_own, "CartPole-v1")


def test_an_environment_is_tried_with_parameters_that_act() -> None:
    with pytest.raises(ValueError, match=r"Averages-v0: the same parameters and the same seed gave"):
        compare(SMALL | {"tasks": ["Averages-v0"]}, progress=False)


def test_a_comparison_of_an_edited_environment_is_refused_with_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "import gymnasium as gym\nfrom gymnasium.envs.classic_control import PendulumEnv\n\n\n"
        "class Mine(PendulumEnv):\n    SCALE = 1.0\n\n    def step(self, action):\n"
        "        seen, reward, *rest = super().step(action)\n        return seen, self.SCALE * reward, *rest\n\n\n"
        "gym.register('EditedMine-v0', entry_point=Mine, max_episode_steps=10)\n"
    )
    Path(tmp_path / "edited_mine.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = shlex.split("--tasks edited_mine:EditedMine-v0 --optimizers random-search --rollouts 10 --out o")
    assert compare_main([*asked, "--runs", "1", "--workers", "2"]) == 0
    assert "EditedMine-v0: 4 rollouts, not charged." in Path("o/summary.md").read_text(encoding="utf-8")
    Path(tmp_path / "edited_mine.py").write_text(text.replace("= 1.0", "= 1000.0"), encoding="utf-8")
    capsys.readouterr()
    assert compare_main([*asked, "--runs", "2", "--workers", "1"]) == 2
    assert "module edited_mine has changed. Choose another folder" in capsys.readouterr().err
    assert compare_main([*asked, "--runs", "2", "--workers", "1", "--keep", "only a unit"]) == 0
    summary = Path("o/summary.md").read_text(encoding="utf-8")
    assert "Note: kept although module edited_mine has changed: only a unit." in summary
    assert "Note: not the same in all parts of the study: module edited_mine." in summary


def test_a_machine_is_not_moved_before_the_search() -> None:
    calls: list[int] = []

    def machine(params: Mapping[str, Any], seed: int) -> float:
        calls.append(seed)
        return base(params, seed)

    said = str(tune(machine, SPACE, 12, "cma-es", external=True, report_rollouts=2))
    assert len(calls) == 12 + 2 * 3
    assert "checks before" not in said
    again = str(tune(machine, SPACE, 12, "cma-es", report_rollouts=2))
    assert "checks before the search: 4 rollouts" in again
    assert len(calls) == 2 * (12 + 2 * 3) + 4


SHARED = """
import os, sys
open("input.txt", "w").write(sys.argv[1])
print(float(open("input.txt").read()) ** 2)
"""


def test_runs_at_a_time_of_a_program_that_writes_in_a_shared_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sim.py").write_text(SHARED, encoding="utf-8")
    command, space = f"{sys.executable} -S {{here}}/sim.py {{kp}}", Space((Parameter("kp", 1.0, -2.0, 2.0),))
    with pytest.raises(
        ValueError, match=r"the program writes input\.txt in the folder where it runs, and 2 runs"
    ):
        tune(command, space, 16, workers=2)
    one = tune(command, space, 16, goal="minimise", report_rollouts=2)
    two = tune(command, space, 16, goal="minimise", report_rollouts=2, workers=2, directory="{dir}")
    assert two.history.equals(one.history)


def test_a_file_that_the_program_writes_is_no_part_of_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sim.py").write_text(SHARED, encoding="utf-8")
    space = Space((Parameter("kp", 1.0, -2.0, 2.0),))
    for rollouts in (16, 32):
        tune(
            f"{sys.executable} -S sim.py {{kp}} input.txt",
            space,
            rollouts,
            report_rollouts=2,
            out=tmp_path / "o",
        )


class Licensed(Remembers):
    """An environment that needs a file called `licence`."""

    def step(self, action: Any) -> Any:
        self.steps += 1
        if not Path("licence").exists() and action[0] > 0.1:
            raise RuntimeError("no licence")
        return np.ones(1), float(action[0]), False, self.steps == 5, {}


class Unlicensed(Licensed):
    """An environment that always fails, after a first step."""

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps > 1:
            raise RuntimeError("no licence")
        return np.ones(1), 0.0, False, False, {}


gym.register("Licensed-v0", entry_point=Licensed)
gym.register("Unlicensed-v0", entry_point=Unlicensed)


def test_a_comparison_in_which_everything_fails_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["--tasks", "Unlicensed-v0", "--optimizers", "random-search", "--rollouts", "20", "--runs", "1"]
    assert compare_main([*asked, "--workers", "1", "--out", "o"]) == 1
    assert "nothing usable was found: no recommendation has a return" in capsys.readouterr().err
    assert Path("o/report.html").exists()


def test_runs_of_a_comparison_are_made_again_from_their_first_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = {"tasks": ["Licensed-v0"], "optimizers": ["random-search"], "rollouts": 20, "runs": 1}
    failed = compare(study, out=tmp_path / "a", progress=False)
    assert failed.runs["failed_rollouts"][0] > 0
    Path("licence").touch()
    assert compare(study, out=tmp_path / "a", progress=False).runs["failed_rollouts"][0] > 0  # it is known
    again = compare(study, out=tmp_path / "a", progress=False, retry_failed=True)
    calm = compare(study, progress=False)
    for one in (again, compare(study, out=tmp_path / "a", progress=False)):
        assert one.runs.drop(columns="wall_seconds").equals(calm.runs.drop(columns="wall_seconds"))
