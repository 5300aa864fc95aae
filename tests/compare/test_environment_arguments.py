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

from policysearch.compare import journal, saved
from policysearch.compare.__main__ import main
from policysearch.compare.study import Study, StudyError
from policysearch.evaluators import EpisodeEvaluator
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
