"""Our classic control against Gymnasium's, under the same starts and actions."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from policysearch.core import Array
from policysearch.seeding import stream
from policysearch.simulators import CLASSIC_CONTROL

OURS = [f"policysearch/{env_id}" for env_id in CLASSIC_CONTROL]

#: Gymnasium computes these squares by NumPy's power function, whose last bit may be wrong.
ROUNDED = {"Pendulum-v1", "Acrobot-v1"}


def actions(env: Any, rng: np.random.Generator, steps: int) -> list[Any]:
    """Actions that are held for a while, so that the system gets somewhere."""
    space, out = env.action_space, []
    while len(out) < steps:
        one = (
            int(rng.integers(space.n))
            if isinstance(space, gym.spaces.Discrete)
            else rng.uniform(space.low, space.high).astype(np.float32)
        )
        out += [one] * int(rng.integers(1, 20))
    return out[:steps]


@pytest.mark.parametrize("env_id", CLASSIC_CONTROL)
def test_an_episode_is_gymnasiums(env_id: str) -> None:
    theirs, ours = gym.make(env_id), gym.make(f"policysearch/{env_id}")
    exact = env_id not in ROUNDED
    for seed in range(25):
        obs, _ = theirs.reset(seed=seed)
        same, _ = ours.reset(seed=seed)
        assert (same.dtype, same.tolist()) == (obs.dtype, obs.tolist())
        for action in actions(theirs, stream(seed), 1000):
            obs, reward, *ends, _ = theirs.step(action)
            same, equal, *also_ends, _ = ours.step(action)
            if exact or env_id == "Pendulum-v1":  # there only the reward is rounded otherwise
                assert (same.dtype, same.tolist()) == (obs.dtype, obs.tolist())
            assert abs(equal - reward) <= (0 if exact else 1e-9)
            assert also_ends == ends or not exact
            if any(ends) or any(also_ends):
                break


def test_a_step_of_the_acrobot_differs_in_the_last_bits_only() -> None:
    theirs: Any = gym.make("Acrobot-v1").unwrapped
    ours: Any = gym.make("policysearch/Acrobot-v1").unwrapped
    theirs.reset(seed=0)
    ours.reset(seed=0)
    rng, worst = stream(1), 0.0
    for _ in range(2000):
        state = rng.uniform([-np.pi, -np.pi, -12, -28], [np.pi, np.pi, 12, 28])
        theirs.state, ours._world[:4] = state, state
        action = int(rng.integers(3))
        theirs.step(action)
        ours.step(action)
        worst = max(worst, float(np.abs(theirs.state - ours._world[:4]).max()))
    assert worst < 1e-9


@pytest.mark.parametrize("env_id", ["MountainCar-v0", "MountainCarContinuous-v0"])
@pytest.mark.parametrize(("state", "right"), [((-1.1875, -0.0625), False), ((0.4375, 0.0625), True)])
def test_the_wall_and_the_goal_are_gymnasiums(env_id: str, state: tuple[float, float], right: bool) -> None:
    theirs: Any = gym.make(env_id)
    ours: Any = gym.make(f"policysearch/{env_id}")
    theirs.reset(seed=1)
    ours.reset(seed=1)
    ours.step(ours.action_space.sample())  # past the start, which is in double precision
    precision = np.float64 if env_id == "MountainCar-v0" else np.float32
    theirs.unwrapped.state, ours.unwrapped._world[:2] = np.array(state, dtype=precision), state
    for t in range(3):
        push: Any = np.array([1.0 if right else -1.0], dtype=np.float32)
        action = (2 if right else 0) if env_id == "MountainCar-v0" else push
        obs, reward, terminated, *_ = theirs.step(action)
        same, equal, also, *_ = ours.step(action)
        assert (same.tolist(), equal, also) == (obs.tolist(), reward, terminated)
        if t == 0 and not right:
            assert obs.tolist() == [np.float32(-1.2), 0.0]
        if terminated:
            break
    assert terminated == right


@pytest.mark.parametrize("env_id", [*OURS, "policysearch/LQR-v0"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # recommendations about bounds
def test_a_simulator_is_an_environment(env_id: str) -> None:
    check_env(gym.make(env_id).unwrapped)


def test_a_simulator_that_gives_up_says_why() -> None:
    from test_compiled import Fragile

    env = Fragile()
    env.reset(seed=0)
    env._world[0] = 1.0  # the kind of episode in which it does
    env.step(np.array([1.0]))
    env.step(np.array([1.0]))
    with pytest.raises(RuntimeError, match="a leg broke"):
        env.step(np.array([1.0]))


def test_unknown_and_wrapped_environments_have_no_compiled_form() -> None:
    from policysearch.simulators import find_simulator

    def flipped(obs: Array) -> Array:
        return obs[::-1]

    cart = gym.make("CartPole-v1")
    assert find_simulator(cart) is find_simulator(gym.make("CartPole-v1")) is not None
    assert find_simulator(gym.wrappers.TransformObservation(cart, flipped, None)) is None
    assert find_simulator(gym.make("CartPole-v1", sutton_barto_reward=True)) is None
    assert find_simulator(gym.make("FrozenLake-v1")) is None
    assert find_simulator(gym.make("policysearch/Acrobot-v1")) is not None
