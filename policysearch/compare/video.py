"""The first report episode of a recommendation as an animated GIF."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from policysearch.compare.run import report_key
from policysearch.compare.saved import load
from policysearch.evaluators.episodes import EpisodeEvaluator
from policysearch.evaluators.wrappers import wrapped
from policysearch.files import replacing
from policysearch.search import held_out


def record(path: Path, video: Path) -> int:
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
    key = report_key(header.seed, header.task, header.run)
    try:
        policy = header.make_policy()
        limit = header.max_episode_steps
        env = gym.make(header.env_id, render_mode="rgb_array", max_episode_steps=limit, **(header.env or {}))
        env = wrapped(env, header.wrappers or ())
        with EpisodeEvaluator(lambda: _Filmed(env, frames), policy, deploy=header.deploy) as filmed:
            evaluation = filmed.evaluate(held_out(params[None], 1), key)
    except Exception as error:
        raise ValueError(
            f"{header.env_id}: cannot render ({type(error).__name__}: {error}); "
            "classic control needs policysearch[video], MuJoCo needs policysearch[mujoco]"
        ) from error
    if evaluation.failures:
        raise ValueError(f"{header.env_id}: cannot render: {evaluation.failures[0].reason}")
    fps = env.metadata.get("render_fps") or 30
    stride = max(1, round(fps / 25))  # GIF viewers do not keep up with more than about 25 frames per second
    kept = frames[::stride]
    sample = Image.fromarray(np.concatenate(kept[:: max(1, len(kept) // 8)]))
    palette = sample.quantize(256)  # one for all frames: what does not move is stored once
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in kept]
    video.parent.mkdir(parents=True, exist_ok=True)
    kind, duration = (
        Image.registered_extensions().get(video.suffix.lower(), "GIF"),
        round(1000 * stride / fps),
    )
    with replacing(video) as file:
        images[0].save(file, kind, save_all=True, append_images=images[1:], duration=duration, loop=0)
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
