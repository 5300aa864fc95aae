"""Pictures of the AIBO: what they show, and what is said where none can be made."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from policysearch.aibo.half_ellipse_gait import SPACE, HalfEllipseGait
from policysearch.compare import video
from policysearch.compare.saved import Header, write

pytest.importorskip("mujoco")

from policysearch.aibo import camera as aibo_camera
from policysearch.aibo.robot import AiboEnv

SCREEN = ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")
ENV_ID = "policysearch/Aibo-v0"


def cannot_draw() -> bool:
    """Whether this machine has neither a screen nor EGL nor OSMesa."""
    return not any(os.environ.get(name) for name in SCREEN) and all(
        map(aibo_camera._failure, ("egl", "osmesa"))
    )


@pytest.fixture(scope="module")
def env() -> Iterator[Any]:
    if cannot_draw():
        pytest.skip("no screen, no EGL, no OSMesa")
    made = AiboEnv(render_mode="rgb_array")
    yield made
    made.close()


def walk(env: Any, frames: int, *, render: bool = False, seed: int = 3) -> list[float]:
    """The observations and rewards of the start gait, in one list."""
    policy, params = HalfEllipseGait(16), SPACE.domain.start[None]
    obs, _ = env.reset(seed=seed)
    numbers = obs.tolist()
    for _ in range(frames):
        action, _ = policy.act(params, obs[None], np.empty((1, 0)))
        obs, reward, *_ = env.step(action[0])
        numbers += [*obs.tolist(), reward]
        if render:
            env.render()
    return numbers


def same(one: Any, other: Any) -> bool:
    """Whether two pictures are equal but for the rounding of a few pixels."""
    apart = abs(one.astype(int) - other).max(axis=-1)
    return bool(apart.max() < 10 and (apart > 0).mean() < 1e-3)


def robot_in(picture: Any) -> Any:
    """Which pixels are neither the green of the carpet nor shadow: the robot is grey."""
    red, green, blue = np.moveaxis(picture.astype(float), -1, 0)
    return (red > 60.0) & (abs(red - green) < 25.0) & (abs(green - blue) < 40.0)


def test_a_picture_shows_the_robot_in_the_middle_of_a_carpet(env: Any) -> None:
    env.reset(seed=1)
    picture = env.render()
    assert picture.shape == (270, 480, 3)
    assert picture.dtype == np.uint8
    robot = robot_in(picture)
    rows, columns = np.nonzero(robot)
    assert 0.05 < robot.mean() < 0.3
    assert abs(columns.mean() - 240.0) < 40.0
    assert abs(rows.mean() - 135.0) < 60.0
    assert not robot[:, :60].any()
    assert not robot[:, -60:].any()
    carpet = picture[:, :60].reshape(-1, 3).astype(float)
    assert (carpet[:, 1] > carpet[:, [0, 2]].max(axis=1)).all()  # to the horizon and beyond


def test_the_head_is_to_the_right(env: Any) -> None:
    env.reset(seed=1)
    columns = np.nonzero(robot_in(env.render()))[1]
    assert columns.max() - 240.0 > 240.0 - columns.min()


def test_pictures_change_with_the_pose_and_with_nothing_else(env: Any) -> None:
    env.reset(seed=1)
    first = env.render()
    assert same(env.render(), first)
    walk(env, 100)
    later = env.render().astype(float)
    assert (abs(later - first) > 30.0).mean() > 0.02


def test_the_camera_follows_the_robot(env: Any) -> None:
    walk(env, 250)
    assert env._world.robot.qpos[0] > 0.15
    assert abs(np.nonzero(robot_in(env.render()))[1].mean() - 240.0) < 40.0


def test_drawing_does_not_change_the_walk(env: Any) -> None:
    assert walk(env, 5, render=True) == walk(AiboEnv(), 5)


def test_two_robots_are_drawn_in_turn(env: Any) -> None:
    other = AiboEnv(render_mode="rgb_array")
    env.reset(seed=1)
    walk(other, 60)
    first, second = env.render(), other.render()
    assert not same(first, second)
    assert same(env.render(), first)
    other.close()
    assert same(env.render(), first)


def test_a_closed_environment_can_be_closed_and_drawn_again(env: Any) -> None:
    env.reset(seed=1)
    first = env.render()
    env.close()
    env.close()
    assert same(env.render(), first)


def test_a_recommendation_becomes_a_film(env: Any, tmp_path: Path) -> None:
    names = SPACE.names
    header = Header(
        task="aibo-gait", env_id=ENV_ID, policy="half-ellipse-gait", deploy="mode", max_episode_steps=11,
        common_random_numbers=False, stochastic=False, optimizer="none", seed=0, run=0, report_episodes=1,
        final_return=0.0, final_return_se=0.0, param_names=names,
    )  # fmt: skip
    write(tmp_path / "start.npz", [(header, SPACE.domain.start)])
    assert video.record(tmp_path / "start.npz", tmp_path / "start.gif") == 11
    with Image.open(tmp_path / "start.gif") as film:
        assert (film.n_frames, film.size) == (3, (480, 270))
        assert film.info["duration"] == 40  # ms: one in five of 125 per second


@pytest.mark.parametrize("mode", ["human", "ansi", ""])
def test_other_render_modes_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"render_mode: expected 'rgb_array' or None, got '{mode}'"):
        AiboEnv(render_mode=mode)


def test_without_a_render_mode_nothing_is_drawn() -> None:
    env = gym.make(ENV_ID).unwrapped
    env.reset(seed=0)
    with pytest.warns(UserWarning, match='render_mode="rgb_array"'):
        assert env.render() is None


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A Linux machine without a screen, on which nobody has said what to draw with."""
    monkeypatch.setattr(aibo_camera.sys, "platform", "linux")
    for name in SCREEN:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_egl_and_osmesa_it_says_what_failed_and_what_to_install(
    headless: pytest.MonkeyPatch,
) -> None:
    headless.setattr(aibo_camera, "_failure", lambda backend: f"ImportError: no lib{backend}")
    env = AiboEnv(render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(RuntimeError) as raised:
        env.render()
    message = str(raised.value)
    assert "cannot be drawn (egl: ImportError: no libegl; osmesa: ImportError: no libosmesa)" in message
    assert "apt-get install libegl1" in message
    assert "apt-get install libosmesa6" in message
    assert "\n" not in message


def test_what_was_chosen_and_fails_is_named(headless: pytest.MonkeyPatch) -> None:
    headless.setattr(aibo_camera, "_backend", lambda: "paintbrush")
    env = AiboEnv(render_mode="rgb_array")
    with pytest.raises(RuntimeError, match=r"drawn \(paintbrush: ModuleNotFoundError: .*apt-get install"):
        env.render()


@pytest.mark.parametrize(
    ("variables", "failing", "expected"),
    [
        ({}, (), "egl"),
        ({}, ("egl",), "osmesa"),
        ({"MUJOCO_GL": "osmesa"}, (), "osmesa"),
        ({"MUJOCO_GL": "EGL", "DISPLAY": ":0"}, ("egl",), "egl"),
        ({"MUJOCO_GL": "glfw"}, (), "glfw"),
        ({"DISPLAY": ":0"}, (), "glfw"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, (), "glfw"),
    ],
)
def test_what_draws(
    headless: pytest.MonkeyPatch, variables: dict[str, str], failing: tuple[str, ...], expected: str
) -> None:
    headless.setattr(aibo_camera, "_failure", lambda backend: "it fails" if backend in failing else "")
    for name, value in variables.items():
        headless.setenv(name, value)
    assert aibo_camera._backend() == expected


def test_a_backend_that_does_not_exist_fails_with_its_reason() -> None:
    assert aibo_camera._failure("paintbrush") == "ModuleNotFoundError: No module named 'mujoco.paintbrush'"
