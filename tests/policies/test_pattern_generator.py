"""The central pattern generator: its oscillators, the torques, and how a swimmer goes with them."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from policysearch.core import Array, Proposal
from policysearch.evaluators.interface import Interface
from policysearch.policies.pattern_generator import COUPLING, DAMPING_TIME, RATE, SPACE, PatternGenerator
from policysearch.seeding import stream
from policysearch.tasks import TASKS, make_evaluator, make_policy

DT = 0.04
#: Frequency, amplitudes, lag, offset; with a stiffness of 1 and joints at 0 the torques are the angles asked for.
SWIM = np.array([0.8, 0.9, 0.5, 1.2, 0.2, 1.0])


def run(values: Array, state: Array, steps: int, dt: float = DT) -> tuple[Array, Array]:
    """The angles that are asked for at every step, and the states after them; as many joints as the state has."""
    joints = (len(state) - 2) // 3
    policy = PatternGenerator(joints, dt, max_torque=100.0)
    params, obs, asked, states = SPACE.encode(values)[None], np.zeros((1, 2 * joints + 4)), [], []
    after = state[None]
    for _ in range(steps):
        action, after = policy.act(params, obs, after)
        asked.append(action[0])
        states.append(after[0])
    return np.array(asked), np.array(states)


def anywhere(key: str, joints: int) -> Array:
    """A state far from the cycle."""
    rng = stream("cpg", key)
    parts = rng.uniform(-3, 3, joints), rng.uniform(0.2, 2, joints), rng.uniform(-5, 5, joints)
    return np.concatenate([*parts, rng.uniform(-1, 1, 2)])


def equations(values: Array, joints: int, z: Array) -> Array:
    """The time derivatives, with matrices of weights and lags."""
    frequency, head, tail, lag, offset, _ = values
    theta, r, speed, x = z[:joints], z[joints : 2 * joints], z[2 * joints : 3 * joints], z[3 * joints :]
    w = COUPLING * (np.eye(joints, k=1) + np.eye(joints, k=-1))
    phi = lag * (np.eye(joints, k=-1) - np.eye(joints, k=1))
    turns = 2 * np.pi * frequency + (w * r * np.sin(theta - theta[:, None] - phi)).sum(axis=1)
    grows = RATE * (RATE / 4 * (np.linspace(head, tail, joints) - r) - speed)
    return np.concatenate([turns, speed, grows, x[1:], RATE * (RATE / 4 * (offset - x[:1]) - x[1:])])


@pytest.mark.parametrize("joints", [2, 4])
@pytest.mark.parametrize("at_rest", [True, False])
def test_the_oscillators_follow_their_differential_equations(joints: int, at_rest: bool) -> None:
    state = np.zeros(3 * joints + 2) if at_rest else anywhere("equations", joints)
    times = DT * np.arange(1, 51)
    exact = solve_ivp(
        lambda _, z: equations(SWIM, joints, z),
        (0, 2.0001), state, method="DOP853", t_eval=times, rtol=1e-10, atol=1e-12,
    ).y.T  # fmt: skip
    _, states = run(SWIM, state, 50)
    assert states[:, joints:] == pytest.approx(exact[:, joints:], abs=1e-8)  # amplitudes and offset
    assert states[:, :joints] == pytest.approx(exact[:, :joints], abs=0.02)  # rad


def test_amplitudes_follow_their_closed_form_and_do_not_overshoot() -> None:
    # from rest R (1 − (1 + a t/2) exp(−a t/2)): 26 % of R after 0.1 s, 99.95 % after 1 s
    asked = SWIM * [1, 1, 1, 1, 0, 1]
    _, states = run(asked, np.zeros(8), 50)
    times = DT * np.arange(1, 51)
    share = 1 - (1 + RATE * times / 2) * np.exp(-RATE * times / 2)
    assert states[:, 2] == pytest.approx(0.9 * share)
    assert states[:, 3] == pytest.approx(0.5 * share)
    assert (np.diff(states[:, 2]) >= 0).all()
    assert (states[:, 6:] == 0).all()


@pytest.mark.parametrize("lag", [-2.0, -0.5, 0.0, 1.2, 2.9])
def test_joints_lock_at_the_lag_behind_each_other_and_at_the_frequency_from_anywhere(lag: float) -> None:
    values = np.array([0.8, 0.9, 0.5, lag, 0.2, 1.0])
    asked, states = run(values, anywhere("lock", 4), 400)
    theta = states[:, :4]
    behind = np.diff(theta[-1])
    assert np.cos(behind + lag) == pytest.approx(1.0)
    assert np.diff(theta[-100:], axis=0) == pytest.approx(2 * np.pi * 0.8 * DT, rel=1e-6)
    # 31.25 steps a cycle: 250 steps are eight of them
    assert asked[-1] == pytest.approx(asked[-251], abs=1e-6)


def test_a_joint_swings_by_its_amplitude_on_either_side_of_the_offset() -> None:
    asked, _ = run(SWIM * [1, 1, 0.6, 1, 1, 1], anywhere("swing", 4), 400)
    high, low = asked[-125:].max(axis=0), asked[-125:].min(axis=0)  # four cycles, of 31.25 steps
    assert (high - low) / 2 == pytest.approx([0.9, 0.7, 0.5, 0.3], rel=1e-3)
    assert (high + low) / 2 == pytest.approx(0.2, abs=1e-3)


def test_the_angles_that_are_asked_for_do_not_jump_where_parameters_do() -> None:
    other = np.array([1.6, 0.3, 1.3, -1.5, -0.4, 1.0])
    before, states = run(SWIM, np.zeros(8), 2000, dt=0.001)
    after, _ = run(other, states[-1], 2000, dt=0.001)
    jumps = np.abs(np.diff(np.vstack([before[-1:], after]), axis=0))
    assert jumps.max() < 0.03  # rad
    assert abs(after[-500:].mean() - before[-1250:].mean()) > 0.3


def test_the_torques_worked_by_hand() -> None:
    # locked at the lag: θ = 1 and 1 − 1.2 before, 2π · 0.8 · 0.04 more after the step;  r = 0.9, 0.5;  x = 0.2
    state = np.array([1.0, -0.2, 0.9, 0.5, 0.0, 0.0, 0.2, 0.0])
    turned = 2 * math.pi * 0.8 * DT
    obs = np.array([9.0, 0.1, -0.3, 9.0, 9.0, 9.0, 2.0, -1.0])
    wanted = [0.2 + 0.9 * math.cos(1.0 + turned), 0.2 + 0.5 * math.cos(-0.2 + turned)]
    stiff = SWIM * [1, 1, 1, 1, 1, 3]
    expected = [3 * (wanted[0] - 0.1 - 2 * DAMPING_TIME), 3 * (wanted[1] + 0.3 + DAMPING_TIME)]
    params = SPACE.encode(stiff)[None]
    free = PatternGenerator(2, DT, max_torque=100.0).act(params, obs[None], state[None])[0][0]
    assert free == pytest.approx(expected)
    bounded = PatternGenerator(2, DT, max_torque=1.0)
    assert bounded.act(params, obs[None], state[None])[0].tolist() == [[pytest.approx(expected[0]), 1.0]]
    assert bounded.act(params, obs[None] + 5.0, state[None])[0].tolist() == [[-1.0, -1.0]]


# ----------------------------------------------------------------------------------------------------- the swimmer

TASK = TASKS["swimmer-cpg"]


def swim(values: Array, steps: int) -> tuple[Array, Array]:
    """Observations of the environment, and the angles that its joints shall have, at every step."""
    env, policy = TASK.make_env(), TASK.make_policy()
    params, state = SPACE.encode(values)[None], np.zeros((1, policy.state_size))
    obs, observed, asked = env.reset(seed=1)[0], [], []
    for _ in range(steps):
        action, state = policy.act(params, obs[None], state)
        obs = env.step(action[0])[0]
        observed.append(obs)
        asked.append(state[0, 6] + state[0, 2:4] * np.cos(state[0, :2]))
    env.close()
    return np.array(observed), np.array(asked)


def test_the_time_step_and_the_torques_are_those_of_the_environment() -> None:
    env = TASK.make_env()
    assert TASK.make_policy() == PatternGenerator(env.unwrapped.model.nu, env.unwrapped.dt, 1.0)
    env.close()


def test_the_joints_of_the_swimmer_follow_the_angles_that_are_asked_for() -> None:
    observed, asked = swim(np.array([0.3, 0.5, 0.25, 1.2, 0.1, 30.0]), 400)
    assert np.abs(observed[100:, 1:3] - asked[100:]).max() < 0.15  # rad: 0.05 s of 1 rad/s, and lag


def test_waves_to_the_tail_swim_forward_and_waves_to_the_head_backward() -> None:
    values = np.array([[0.6, 0.8, 0.8, lag, 0.0, 3.0] for lag in (1.0, -1.0)])
    evaluator = make_evaluator(TASK, TASK.make_policy(), kind="compiled")
    forward, backward = evaluator.evaluate(Proposal(SPACE.encode(values), values[0]), ("way",)).returns[:, 0]
    evaluator.close()
    assert forward > 250
    assert backward < -200


def test_an_offset_bends_the_path_and_its_sign_says_to_which_side() -> None:
    def heading(offset: float) -> float:
        """Of the last three cycles of 41.67 steps, in rad."""
        return float(swim(np.array([0.6, 0.8, 0.8, 1.0, offset, 3.0]), 375)[0][-125:, 0].mean())

    assert heading(0.2) < -0.5
    assert heading(-0.2) > 0.5
    assert abs(heading(0.0)) < 0.2


def interface(obs: int, action: gym.Space[Any]) -> Interface:
    return Interface(gym.spaces.Box(-1.0, 1.0, (obs,), np.float64), action)


@pytest.mark.parametrize(
    ("fits", "message"),
    [
        (
            interface(8, gym.spaces.Box(-1, 1, (3,))),
            "expected 10 observations, those of a Swimmer with 3 joints",
        ),
        (
            interface(6, gym.spaces.Box(-1, 1, (1,))),
            "expected the torques of two joints or more, got Box of 1",
        ),
        (interface(8, gym.spaces.MultiDiscrete([3, 3])), "joints or more, got MultiDiscrete of 2"),
    ],
)
def test_other_environments_are_refused_in_one_message(fits: Interface, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_policy("pattern-generator", fits)
