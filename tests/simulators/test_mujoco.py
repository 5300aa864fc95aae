"""Our MuJoCo simulators against Gymnasium's environments, step by step under the same actions.

States and observations are equal to the last bit. So are the rewards, but for the reacher's and the pusher's,
whose distances Gymnasium computes by BLAS.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from policysearch.core import Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.evaluators.interface import Interface
from policysearch.seeding import stream
from policysearch.simulators import MUJOCO, Simulator, SimulatorEnv, find_simulator
from policysearch.tasks import make_policy

mujoco = pytest.importorskip("mujoco")

BY_BLAS = {"Reacher-v5", "Pusher-v5"}


def as_env(simulator: Simulator) -> Any:
    return type("Ours", (SimulatorEnv,), {"simulator": simulator})()


def simulator_of(env_id: str) -> Simulator:
    simulator = find_simulator(gym.make(env_id))
    assert simulator is not None
    return simulator


#: Few and many joints, with and without an end, and sums by BLAS.
BY_DAY = {"HalfCheetah-v5", "Humanoid-v5", "InvertedPendulum-v5", "Reacher-v5"}


@pytest.mark.parametrize(
    "env_id", [pytest.param(name, marks=[pytest.mark.nightly] * (name not in BY_DAY)) for name in MUJOCO]
)
def test_an_episode_is_gymnasiums(env_id: str) -> None:
    theirs: Any = gym.make(env_id)
    ours, space, terminal = as_env(simulator_of(env_id)), theirs.action_space, 0
    for seed in range(4):
        rng, size = stream(seed), 1.0 if seed % 2 else 0.2
        obs, _ = theirs.reset(seed=seed)
        assert ours.reset(seed=seed)[0].tolist() == obs.tolist()
        for _ in range(120):
            action = (size * rng.uniform(space.low, space.high)).astype(np.float32)
            obs, reward, terminated, truncated, _ = theirs.step(action)
            same, equal, also, *_ = ours.step(action)
            assert ours._world.qpos.tolist() == theirs.unwrapped.data.qpos.tolist()
            assert ours._world.qvel.tolist() == theirs.unwrapped.data.qvel.tolist()
            assert same.tolist() == obs.tolist()
            assert abs(equal - reward) <= (1e-14 if env_id in BY_BLAS else 0)
            assert also == terminated
            terminal += terminated
            if terminated or truncated:
                break
    never = {"Swimmer-v5", "HalfCheetah-v5", "Reacher-v5", "Pusher-v5"}
    assert (terminal > 0) == (env_id not in never)


def test_recorded_rollouts_are_gymnasiums_under_the_recorded_actions() -> None:
    """A closed loop of a walker is chaotic; under equal actions it is the same to the last bit."""
    env: Any = gym.make("Walker2d-v5")
    policy: Any = make_policy("linear", Interface(env.observation_space, env.action_space))
    evaluator = CompiledEvaluator(simulator_of("Walker2d-v5"), policy, max_episode_steps=1000, threads=2)
    params = 0.1 * stream(1).standard_normal((3, policy.num_params))
    evaluation = evaluator.evaluate(Proposal(params, params[0], sample=True, record=True), (1,))
    from policysearch.seeding import seed_of

    for (rollout,) in evaluation.rollouts:
        obs, _ = env.reset(seed=seed_of(1, "episode", 0))
        for seen, action, paid in zip(rollout.obs, rollout.actions, rollout.rewards, strict=True):
            assert obs.tolist() == seen.tolist()
            told = np.clip(action, env.action_space.low, env.action_space.high).astype(np.float32)
            obs, reward, terminated, *_ = env.step(told)
            assert reward == paid
        assert rollout.final_obs.tolist() == obs.tolist()
        assert rollout.terminated == terminated


def test_a_bad_state_fails_its_rollout_and_leaves_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start with an enormous speed: MuJoCo warns of a bad state, which would be a file in this folder."""
    import dataclasses

    monkeypatch.chdir(tmp_path)
    sound = simulator_of("Hopper-v5")

    def draw(rng: np.random.Generator) -> Any:
        start = sound.draw(rng)
        start[-1] = 1e12 if rng.random() < 0.5 else start[-1]
        return start

    env = gym.make("Hopper-v5")
    policy: Any = make_policy("linear", Interface(env.observation_space, env.action_space))
    broken = dataclasses.replace(sound, draw=draw)
    evaluator = CompiledEvaluator(broken, policy.mode, max_episode_steps=1000, threads=2)
    params = np.zeros((1, policy.mode.num_params))
    evaluation = evaluator.evaluate(Proposal(params, params[0], 12), (1,))
    failed = {failure.episode for failure in evaluation.failures}
    assert 0 < len(failed) < 12
    assert all(failure.reason.startswith("MuJoCo: BAD") for failure in evaluation.failures)
    assert np.isnan(evaluation.returns[0, sorted(failed)]).all()
    assert np.isfinite(np.delete(evaluation.returns[0], sorted(failed))).all()
    assert os.listdir(tmp_path) == []


def test_building_a_model_that_mujoco_warns_of_leaves_no_log(tmp_path: Path) -> None:
    """HalfCheetah's model has an attribute that MuJoCo calls deprecated."""
    code = (
        "from policysearch.tasks import find_task, make_evaluator; task = find_task('HalfCheetah-v5'); "
        "make_evaluator(task, task.make_policy()).close()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    assert os.listdir(tmp_path) == []


def test_mujoco_worlds_do_not_share_their_state() -> None:
    simulator = simulator_of("Swimmer-v5")
    first, second = as_env(simulator), as_env(simulator)
    first.reset(seed=1)
    second.reset(seed=2)
    before = second._world.qpos.tolist()
    first.step(np.ones(2))
    assert second._world.qpos.tolist() == before
    assert first._world.qpos.tolist() != before
