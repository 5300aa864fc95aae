"""Saved recommendations: an npz file of parameters with a JSON header, and its replay.

The header says what the parameters are for, so that `replay` can run the very episodes of the report again
and compare. Files are read without pickle.
"""

import json
import math
import os
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, ValidationError
from threadpoolctl import threadpool_limits

import policysearch
from policysearch.compare.run import Result, evaluate_fresh, report_key
from policysearch.compare.study import Study
from policysearch.core import Array, Policy
from policysearch.evaluators.episodes import EpisodeEvaluator
from policysearch.tasks import EvaluatorKind, RolloutEvaluator, Task, make_evaluator

#: The largest file that is opened: a header and tens of millions of parameters.
MAX_BYTES = 512 * 1024 * 1024


class Header(BaseModel):
    """What a saved parameter vector is, and what it achieved."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["policysearch recommendation 1"] = "policysearch recommendation 1"
    version: str = policysearch.__version__
    task: str
    env_id: str
    policy: str
    deploy: Literal["mode", "sample"]
    max_episode_steps: int
    evaluator: EvaluatorKind = "auto"
    stochastic: bool  # whether the parameters are those of the stochastic policy or of its mode
    optimizer: str
    seed: int
    run: int
    report_episodes: int
    final_return: float
    final_return_se: float
    param_names: tuple[str, ...]

    @property
    def _task(self) -> Task:
        return Task(self.task, self.env_id, self.policy, self.deploy, self.max_episode_steps)

    def make_policy(self) -> Policy:
        """The policy whose parameters these are."""
        policy = self._task.make_policy()
        return policy if self.stochastic else policy.mode

    def make_evaluator(self) -> RolloutEvaluator:
        """The evaluator that reported the return."""
        return make_evaluator(self._task, self.make_policy(), kind=self.evaluator)


def save(folder: Path, study: Study, result: Result) -> Path:
    """Write the recommendation of one run; returns the file."""
    task, row = study.task(result.job.task), result.row
    header = Header(
        task=task.name,
        env_id=task.env_id,
        policy=task.policy,
        deploy=task.deploy,
        max_episode_steps=task.episode_steps(),
        evaluator=study.evaluator,
        stochastic=task.make_policy().num_params == result.params.size,
        optimizer=result.job.optimizer,
        seed=study.seed,
        run=result.job.run,
        report_episodes=study.report_episodes,
        final_return=float(row["final_return"]),
        final_return_se=float(row["final_return_se"]),
        param_names=result.param_names,
    )
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{task.name}__{result.job.optimizer}__{result.job.run}"
    path = folder / (re.sub(r"[^A-Za-z0-9._-]+", "-", name) + ".npz")
    np.savez(path, params=result.params, header=np.array(header.model_dump_json()))
    return path


def load(path: Path) -> tuple[Header, Float[Array, "d"]]:
    """Header and parameters of a saved recommendation.

    Raises:
        ValueError: if the file is missing, is not such a file, or its parameters do not fit its header.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"expected at most {MAX_BYTES} bytes, got {path.stat().st_size}")
        with np.load(path, allow_pickle=False) as file:
            header = Header(**json.loads(str(file["header"])))
            params = np.array(file["params"], dtype=float)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except ValidationError as error:
        finding = error.errors()[0]
        raise ValueError(f"{path}: header: {'.'.join(map(str, finding['loc']))}: {finding['msg']}") from error
    except Exception as error:
        raise ValueError(f"{path}: expected a saved recommendation (.npz), got: {error}") from error
    if params.shape != (len(header.param_names),):
        raise ValueError(f"{path}: expected {len(header.param_names)} parameters, got shape {params.shape}")
    return header, params


def replay(path: Path) -> tuple[Header, float]:
    """The header, and the return that its parameters give now on the very same episodes."""
    header, params = load(path)
    evaluator = header.make_evaluator()
    key = report_key(header.seed, header.task, header.run)
    with threadpool_limits(1):
        evaluation = evaluate_fresh(evaluator, params[None], header.report_episodes, key)
    evaluator.close()
    return header, float(evaluation.returns.mean(axis=1)[0])


def same(a: float, b: float) -> bool:
    """Equality to the last digit; not-a-number equals itself."""
    return a == b or (math.isnan(a) and math.isnan(b))


def record_video(path: Path, video: Path) -> int:
    """Write the first report episode as an animated GIF; returns its number of steps.

    Raises:
        ValueError: if the environment has no `rgb_array` rendering, or its renderer is not installed.
    """
    import gymnasium as gym  # noqa: PLC0415

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # no screen is needed
    from PIL import Image  # noqa: PLC0415

    header, params = load(path)
    frames: list[Any] = []
    try:
        env = gym.make(header.env_id, render_mode="rgb_array", max_episode_steps=header.max_episode_steps)
        filmed = EpisodeEvaluator(lambda: _Filmed(env, frames), header.make_policy(), deploy=header.deploy)
        key = report_key(header.seed, header.task, header.run)
        evaluation = evaluate_fresh(filmed, params[None], 1, key)
        filmed.close()
    except Exception as error:
        raise ValueError(
            f"{header.env_id}: cannot render ({type(error).__name__}: {error}); "
            "classic control needs policysearch[video], MuJoCo needs policysearch[mujoco]"
        ) from error
    if evaluation.failures:
        raise ValueError(f"{header.env_id}: cannot render: {evaluation.failures[0].reason}")
    fps = env.metadata.get("render_fps") or 30
    stride = max(1, round(fps / 25))  # GIF viewers do not keep up with more than about 25 frames per second
    images = [Image.fromarray(frame).quantize(64) for frame in frames[::stride]]
    video.parent.mkdir(parents=True, exist_ok=True)
    images[0].save(
        video, save_all=True, append_images=images[1:], duration=round(1000 * stride / fps), loop=0
    )
    return int(evaluation.steps.sum())


class _Filmed:
    """An environment that keeps a frame of every step."""

    def __init__(self, env: Any, frames: list[Any]) -> None:
        self.env, self.frames = env, frames
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, *, seed: int) -> Any:
        out = self.env.reset(seed=seed)
        self.frames[:] = [self.env.render()]
        return out

    def step(self, action: Any) -> Any:
        out = self.env.step(action)
        self.frames.append(self.env.render())
        return out

    def close(self) -> None:
        self.env.close()
