"""Arguments of an environment's constructor: in a study file, in its document, in what is replayed."""

import tomllib
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import tomli_w
from in_process import run
from problems import Walk

from policysearch.compare import journal, request, saved
from policysearch.compare.__main__ import main
from policysearch.compare.study import Study, StudyError
from policysearch.evaluators import EpisodeEvaluator
from policysearch.evaluators.wrappers import wrapping
from policysearch.registry import NotTrusted
from policysearch.simulators.pendulum import PendulumEnv
from policysearch.tasks import Task, make_evaluator


class Heavy(Walk):
    """A walk paid by its mass, which has to be given."""

    def __init__(self, mass: float, config: Any = None) -> None:
        super().__init__()
        self.mass, self.config = mass, config

    def step(self, action: Any) -> Any:
        obs, _, *rest = super().step(action)
        return obs, self.mass, *rest


gym.register("Heavy-v0", entry_point=Heavy)
HEAVY = "test_environment_arguments:Heavy-v0"


def study(env: Any = None, **more: Any) -> dict[str, Any]:
    task = more | ({} if env is None else {"env": env})
    return {"tasks": {HEAVY: task}, "optimizers": ["random-search"], "rollouts": 20, "runs": 1}


def test_the_arguments_reach_the_environment_its_document_and_its_replay(tmp_path: Path) -> None:
    file, out = tmp_path / "study.toml", tmp_path / "out"
    file.write_text(tomli_w.dumps(study({"mass": 2.5, "config": {"gains": [1, 2]}})))
    assert run(main, str(file), "--workers", "1", "--out", str(out)).returncode == 0
    assert pd.read_csv(out / "runs.csv")["final_return"].tolist() == [12.5]
    assert tomllib.loads((out / "study.toml").read_text())["tasks"][HEAVY]["env"] == {
        "mass": 2.5,
        "config": {"gains": [1, 2]},
    }
    assert "the same to the last digit" in run(main, "replay", str(out / "recommendations.npz")).stdout
    file.write_text(tomli_w.dumps(study({"mass": 3.5, "config": {"gains": [1, 2]}})))
    changed = run(main, str(file), "--workers", "1", "--out", str(out))
    assert changed.returncode == 2
    assert f"tasks.{HEAVY}.env.mass was 2.5, is 3.5" in changed.stderr


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (study(), f"tasks.{HEAVY}: cannot build {HEAVY}: TypeError: .*missing 1 required positional argument: 'mass'.*; give it in a study file, as env = "),
        (study({"mass": 1.0, "size": 2}), "cannot build .* unexpected keyword argument 'size'"),
        (study({"mass": 1.0, "max_episode_steps": 2}), "cannot build .* multiple values for keyword argument 'max_episode"),
        (study({"mass": np.ones(2)}), f"tasks.{HEAVY}.env: mass: expected what a study file can hold: .*; register an id"),
        (study({"mass": None}), "env: mass: expected what a study file can hold"),
        (study(mass=2.0), f"^tasks.{HEAVY}.mass: not an option; known are policy, .*; arguments of an environment are given "
         r"as env = \{NAME = VALUE\}$"),
        (study(polcy="linear"), "polcy: not an option; did you mean policy"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_get_one_message(data: Any, said: str) -> None:
    with pytest.raises(StudyError, match=said) as refused:
        Study.resolve(data)
    assert len(refused.value.problems) == 1


def test_a_study_without_arguments_is_written_as_before() -> None:
    document = Study.resolve({"tasks": ["CartPole-v1"], "optimizers": ["random-search"]}).document()
    assert document["tasks"] == {"CartPole-v1": {"options": {}}}
    header = saved.Header(
        task="a", env_id="a", policy="linear", deploy="mode", max_episode_steps=9, stochastic=False, optimizer="b",
        seed=0, run=0, report_episodes=20, final_return=0.0, final_return_se=0.0, param_names=(),
    )  # fmt: skip
    assert "env" not in saved.Contents.of([header]).entries[0]


def test_arguments_change_the_ledgers_study_and_returns_of_another_environment_are_no_reference() -> None:
    plain = Study.resolve({"tasks": ["CartPole-v1"], "optimizers": ["random-search"]})
    other = Study.resolve(
        {"tasks": {"CartPole-v1": {"env": {"sutton_barto_reward": True}}}, "optimizers": ["random-search"]}
    )
    assert plain.references("CartPole-v1") == (22.3, 475.0)
    assert other.references("CartPole-v1") is None
    assert other.task("CartPole-v1").references == {}
    _, changed = journal.compare_studies(plain.document(), other.document())
    assert changed == ["tasks.CartPole-v1.env was not set, is {'sutton_barto_reward': True}"]


class Loaded(PendulumEnv):
    """An environment with a compiled form that knows nothing of the load."""

    def __init__(self, load: float = 0.0) -> None:
        super().__init__()
        self.load = load


gym.register("Loaded-v0", entry_point=Loaded, max_episode_steps=9)


def test_the_compiled_form_of_other_arguments_is_not_used() -> None:
    task = Task("Loaded-v0", "Loaded-v0", env={"load": 2.0})
    assert task.meet().simulator is None
    with make_evaluator(task, task.make_policy()) as evaluator:
        assert isinstance(evaluator, EpisodeEvaluator)
    assert Task("Loaded-v0", "Loaded-v0").meet().simulator is not None
    assert Task("CartPole-v1", "CartPole-v1", env={"sutton_barto_reward": True}).meet().simulator is None


class Doubled(gym.RewardWrapper[Any, Any]):
    """Pays some times the reward."""

    def __init__(self, env: Any, times: float = 2.0) -> None:
        super().__init__(env)
        self.times = times

    def reward(self, reward: Any) -> float:
        return float(self.times * reward)


DOUBLED = "test_environment_arguments:Doubled"


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("a.b:C", {"wrapper": "a.b:C"}),
        ("a:C()", {"wrapper": "a:C"}),
        (' a:C(x=1, y = [1.5, "z"]) ', {"wrapper": "a:C", "x": 1, "y": [1.5, "z"]}),
        ({"wrapper": "a:C", "x": 1}, {"wrapper": "a:C", "x": 1}),
        ({"wrapper": "a:C(x=1)", "y": 2}, {"wrapper": "a:C", "x": 1, "y": 2}),
    ],
)
def test_a_wrapper_is_plain_data(text: Any, table: dict[str, Any]) -> None:
    assert wrapping(text) == table
    assert wrapping(table) == table


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ClipReward", "expected module:Class, or module:Class.name=value"),
        ("a:C(1)", "expected name=value, … in the brackets"),
        ("a:C(x=open('f'))", "expected name=value, … in the brackets"),
        ("a:C(x=1); import os", "expected module:Class"),
        (3, "expected module:Class"),
        ({"x": 1}, "expected module:Class"),
        (
            "gymnasium.wrappers:TimeLimitt",
            r"wrappers: gymnasium\.wrappers has no TimeLimitt; did you mean TimeLimit",
        ),
        ("no_such_module:C", "cannot import no_such_module"),
        ("gymnasium.wrappers:RecordVideo", "^tasks.*: wrappers: .*video_folder'; it|^tasks.*video_folder'$"),
        ("gymnasium:Env", "expected a gymnasium.Wrapper, got <class"),
        (f"{DOUBLED}(tmes=2)", "it takes times, got tmes: did you mean times"),
    ],
)
def test_what_is_no_wrapper_gets_one_message(given: Any, said: str) -> None:
    with pytest.raises(StudyError, match=said) as refused:
        Study.resolve(study({"mass": 1.0}, wrappers=[given]))
    assert len(refused.value.problems) == 1


def test_an_environment_says_what_it_takes() -> None:
    with pytest.raises(StudyError, match=r"it takes mass, config, got mas: did you mean mass\?$"):
        Study.resolve(study({"mass": 1.0, "mas": 2.0}))
    with pytest.raises(StudyError, match=r"it takes sutton_barto_reward, render_mode, got gravity$"):
        Study.resolve({"tasks": {"CartPole-v1": {"env": {"gravity": 5}}}, "optimizers": ["random-search"]})


def test_flags_reach_the_environment_the_document_and_the_replay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = (
        "--optimizers",
        "random-search",
        "--rollouts",
        "20",
        "--runs",
        "1",
        "--workers",
        "1",
        "--out",
        str(out),
    )
    asked = (
        "--tasks",
        HEAVY,
        "--env-kwargs",
        "mass=2.5",
        "config={gains = [1, 2]}",
        "--wrappers",
        f"{DOUBLED}(times=3.0)",
    )
    assert run(main, *asked, *flags).returncode == 0
    assert pd.read_csv(out / "runs.csv")["final_return"].tolist() == [37.5]
    choice = tomllib.loads((out / "study.toml").read_text())["tasks"][HEAVY]
    assert choice["env"] == {"mass": 2.5, "config": {"gains": [1, 2]}}
    assert choice["wrappers"] == [{"wrapper": DOUBLED, "times": 3.0}]
    again = run(main, "replay", str(out / "recommendations.npz"), "--trust", "test_environment_arguments")
    assert "the same to the last digit" in again.stdout
    changed = run(main, *asked[:-1], f"{DOUBLED}(times=4.0)", *flags)
    assert changed.returncode == 2
    assert f"tasks.{HEAVY}.wrappers" in changed.stderr
    assert (
        run(main, str(out / "study.toml"), "--workers", "1", "--out", str(tmp_path / "again")).returncode == 0
    )
    assert (tmp_path / "again/runs.csv").read_text().split(",")[:3] == (out / "runs.csv").read_text().split(
        ","
    )[:3]
    wrong = run(main, "--tasks", HEAVY, "--env-kwargs", "mass", *flags)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: --env-kwargs mass: expected NAME=VALUE, as in gravity=5.0\n")


def test_the_section_of_an_environment_is_a_task() -> None:
    env = {"id": HEAVY, "kwargs": {"mass": 1.0}, "wrappers": [DOUBLED]}
    (resolved, _) = request.resolved({"env": env, "optimizers": ["random-search"]}, {})
    assert resolved.task(HEAVY).env == {"mass": 1.0}
    assert resolved.task(HEAVY).wrappers == ({"wrapper": DOUBLED},)
    assert resolved.task(HEAVY).meet().simulator is None
    for wrong, said in (
        ({"env": env, "tasks": [HEAVY]}, "expected this section or tasks, got both"),
        ({"env": {"kwargs": {}}}, 'env: expected id = "CartPole-v1"'),
        ({"env": {"id": "x", "args": {}}}, 'env: expected id = "CartPole-v1"'),
    ):
        with pytest.raises(StudyError, match=said):
            request.resolved(wrong, {})


def test_wrappers_of_a_compiled_environment_are_run() -> None:
    wrappers = ({"wrapper": "gymnasium.wrappers:TimeLimit", "max_episode_steps": 5},)
    task = Task("Pendulum-v1", "Pendulum-v1", wrappers=wrappers)
    with make_evaluator(task, task.make_policy()) as evaluator:
        assert isinstance(evaluator, EpisodeEvaluator)
    plain = Study.resolve({"tasks": ["CartPole-v1"], "optimizers": ["random-search"]})
    more = Study.resolve(
        {
            "tasks": {"CartPole-v1": {"wrappers": ["gymnasium.wrappers:TimeAwareObservation"]}},
            "optimizers": ["ars"],
        }
    )
    assert plain.references("CartPole-v1") is not None
    assert more.references("CartPole-v1") is None
    assert more.task("CartPole-v1").meet().interface.obs_size == 5


@pytest.mark.parametrize(
    ("wrapper", "module"),
    [
        ("no_such_module:C", "no_such_module"),
        ("gymnasium.wrappers:RecordVideo", "gymnasium.wrappers"),
        ("gymnasium.utils.play:PlayableGame", "gymnasium.utils.play"),
        ("gymnasium.wrappers:ClipReward", ""),
    ],
)
def test_a_received_file_does_not_import_the_wrappers_that_it_names(wrapper: str, module: str) -> None:
    header = saved.Header(
        task="lqr", env_id="CartPole-v1", policy="linear", deploy="mode", max_episode_steps=9, stochastic=False,
        optimizer="b", seed=0, run=0, report_episodes=20, final_return=0.0, final_return_se=0.0, param_names=(),
        wrappers=({"wrapper": wrapper},),
    )  # fmt: skip
    if module:
        with pytest.raises(NotTrusted, match=f"names {module}, which is not part of policysearch"):
            header.make_policy()
    else:
        header.check_trusted()
