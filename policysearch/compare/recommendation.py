"""Saved parameters: recommendations and failed episodes, npz files with a JSON header, and their replay.

The header says what the parameters are for, so that `replay` can run the very episodes of the report again
and compare, or the very episode that failed. Files are read without pickle.
"""

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from threadpoolctl import threadpool_limits

import policysearch
from policysearch.compare.comparison import file_name
from policysearch.compare.run import Result, evaluate_fresh, report_key
from policysearch.compare.study import Study
from policysearch.core import Array, Failure, Policy, Proposal, StochasticPolicy
from policysearch.evaluators import Runner
from policysearch.evaluators.episodes import EpisodeEvaluator
from policysearch.reporting.files import whole
from policysearch.space import Space
from policysearch.tasks import EvaluatorKind, Task, find_task, make_evaluator

#: The most that is read from a file, unpacked: a header and tens of millions of parameters.
MAX_BYTES = 512 * 1024 * 1024
#: The largest place of a candidate or an episode that a file may name.
MAX_INDEX = 100_000


class FailedEpisode(BaseModel):
    """Which episode failed, and why: what `Evaluator.evaluate` needs to meet it again."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: tuple[int | str, ...]
    candidate: int = Field(ge=0, le=MAX_INDEX)
    episode: int = Field(ge=0, le=MAX_INDEX)
    sample: bool
    reason: str


class Header(BaseModel):
    """What a saved parameter vector is, and what it achieved."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")
    format: Literal["policysearch recommendation 1"] = "policysearch recommendation 1"
    version: str = policysearch.__version__
    task: str
    env_id: str
    policy: str
    deploy: Literal["mode", "sample"]
    max_episode_steps: int
    evaluator: EvaluatorKind = "auto"
    common_random_numbers: bool = True
    person: str | None = None
    stochastic: bool  # whether the parameters are those of the stochastic policy or of its mode
    optimizer: str
    seed: int
    run: int
    report_episodes: int
    final_return: float
    final_return_se: float
    param_names: tuple[str, ...]
    failed: FailedEpisode | None = None

    @property
    def _task(self) -> Task:
        return Task(
            self.task,
            self.env_id,
            self.policy,
            self.deploy,
            self.max_episode_steps,
            common_random_numbers=self.common_random_numbers,
            person=find_task(self.task).person if self.person else None,
        )

    def make_policy(self) -> Policy:
        """The policy whose parameters these are."""
        policy = self._task.make_policy()
        return policy.mode if isinstance(policy, StochasticPolicy) and not self.stochastic else policy

    def make_evaluator(self) -> Runner:
        """The evaluator that reported the return."""
        who = (self.seed, "person", self.task, self.run)
        return make_evaluator(self._task, self.make_policy(), kind=self.evaluator, key=who)


def save(folder: Path, study: Study, result: Result) -> Path:
    """Write the recommendation of one run into a folder; returns the file."""
    name = file_name(result.job.task, result.job.optimizer, result.job.run)
    return _write(folder / f"{name}.npz", _header(study, result), result.params)


def save_failures(folder: Path, study: Study, result: Result) -> list[Path]:
    """Write the examples of failed episodes of one run into a folder; returns the files."""
    written = []
    for number, example in enumerate(result.examples):
        failure = example.failure
        failed = FailedEpisode(
            key=example.key,
            candidate=failure.candidate,
            episode=failure.episode,
            sample=example.sample,
            reason=failure.reason,
        )
        name = file_name(result.job.task, result.job.optimizer, result.job.run, number)
        header = _header(study, result).model_copy(update={"failed": failed})
        written.append(_write(folder / f"{name}.npz", header, example.params))
    return written


def _header(study: Study, result: Result) -> Header:
    task, row = study.task(result.job.task), result.row
    return Header(
        task=task.name,
        env_id=task.env_id,
        policy=task.policy,
        deploy=task.deploy,
        max_episode_steps=task.episode_steps(),
        evaluator=study.evaluator,
        common_random_numbers=task.common_random_numbers,
        person=task.person and task.person.name,
        stochastic=task.make_policy().num_params == result.params.size,
        optimizer=result.job.optimizer,
        seed=study.seed,
        run=result.job.run,
        report_episodes=study.report_episodes,
        final_return=float(row["final_return"]),
        final_return_se=float(row["final_return_se"]),
        param_names=result.param_names,
    )


def _write(path: Path, header: Header, params: Float[Array, "d"]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial, partial.open("wb") as file:
        np.savez(file, params=params, header=np.array(header.model_dump_json(exclude_none=True)))
    return path


def load(path: Path) -> tuple[Header, Float[Array, "d"]]:
    """Header and parameters of a saved recommendation.

    Raises:
        ValueError: if the file is missing, is not such a file, or its parameters do not fit its header.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise ValueError(f"expected at most {MAX_BYTES} bytes, got {size}")
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


def replay_failure(path: Path) -> tuple[FailedEpisode, Failure | None]:
    """The failed episode, and how it fails now, if it does.

    Raises:
        ValueError: if the file is not one of a failed episode.
    """
    header, params = load(path)
    failed = header.failed
    if failed is None:
        raise ValueError(f"{path}: expected a failed episode, got a recommendation")
    evaluator = header.make_evaluator()
    copies = np.tile(params, (failed.candidate + 1, 1))  # action noise depends on the candidate's place
    proposal = Proposal(copies, params, failed.episode + 1, sample=failed.sample)
    with threadpool_limits(1):
        evaluation = evaluator.evaluate(proposal, failed.key)
    evaluator.close()
    place = (failed.candidate, failed.episode)
    again = [failure for failure in evaluation.failures if (failure.candidate, failure.episode) == place]
    return failed, again[0] if again else None


def in_words(header: Header, params: Float[Array, "d"]) -> list[str]:
    """The parameters of a controller by name and in their own units; nothing for the weights of a policy."""
    space: Space | None = getattr(header.make_policy(), "space", None)
    if space is None:
        return []
    values, units = space.named(params), [parameter.unit for parameter in space.parameters]
    width = max(map(len, values))
    return [
        f"{name:{width}}  {x:.4g} {unit}".rstrip()
        for (name, x), unit in zip(values.items(), units, strict=True)
    ]


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
    if header.person is not None:
        raise ValueError(f"{header.task}: a person's bout, of which no video is made")
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
