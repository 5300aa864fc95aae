"""The PID controller: worked by hand, its limits, and Ziegler and Nichols' rules."""

import math

import gymnasium as gym
import numpy as np
import pytest

from policysearch.evaluators.interface import Interface
from policysearch.policies.pid import PID, gain_space, reaction_gains, ultimate_gains
from policysearch.seeding import stream
from policysearch.tasks import make_policy

SPACE = gain_space((2.0, 1.0, 0.5, 0.1), "V", "rad")
WIDE = PID(SPACE, dt=0.1, low=-1000.0, high=1000.0)


def run(policy: PID, gains: tuple[float, ...], set_points: list[float], measured: list[float]) -> list[float]:
    """The actions for these observations."""
    params, state, out = SPACE.encode(np.array(gains)), np.zeros((1, policy.state_size)), []
    for r, y in zip(set_points, measured, strict=True):
        action, state = policy.act(params[None], np.array([[r, y]]), state)
        out.append(float(action[0, 0]))
    return out


def test_three_steps_worked_by_hand() -> None:
    # kp = 2, ki = 1, kd = 0.5, τ = 0.1 at DT = 0.1: half of a new slope counts
    # r − y = 1, 0.8, 0.5;  slopes: none, 2, 3;  D = 0, 1, 2;  I = 0, 0.1, 0.18
    # v = 2;  1.6 + 0.1 − 0.5 = 1.2;  1 + 0.18 − 1 = 0.18
    assert run(WIDE, (2.0, 1.0, 0.5, 0.1), [1.0] * 3, [0.0, 0.2, 0.5]) == pytest.approx([2.0, 1.2, 0.18])


def test_a_step_of_the_set_point_does_not_reach_the_derivative() -> None:
    still = run(WIDE, (2.0, 0.01, 50.0, 0.1), [0.0, 0.0, 3.0, 3.0], [0.0] * 4)
    assert still == pytest.approx([0.0, 0.0, 6.0, 6.003])


def test_the_filter_follows_a_constant_slope_with_its_time_constant() -> None:
    # D after n slopes of 1 is 1 − (τ/(τ + DT))^n; kp and ki are the smallest
    times = 0.1 * np.arange(6)
    actions = run(WIDE, (0.02, 0.01, 1.0, 0.3), times.tolist(), times.tolist())
    assert actions == pytest.approx([-(1.0 - 0.75**n) for n in range(6)])


def test_the_integral_stays_where_it_is_while_the_action_is_at_its_limit() -> None:
    narrow = PID(SPACE, dt=0.1, low=-3.0, high=3.0)
    gains = (2.0, 1.0, 0.005, 0.1)
    # 100 steps with an error of 10 at the limit; then the error turns to −0.1: v = −0.2, and not +99.8
    for sign in (1.0, -1.0):
        far, near = [sign * 10.0] * 100, [-sign * 0.1] * 2
        bounded = run(narrow, gains, far + near, [0.0] * 102)
        free = run(WIDE, gains, far + near, [0.0] * 102)
        assert bounded[:100] == [sign * 3.0] * 100
        assert bounded[100:] == pytest.approx([-sign * 0.2, -sign * 0.21])
        assert free[100:] == pytest.approx([sign * 99.8, sign * 99.79])


def test_the_integral_leaves_the_limit_where_the_error_leads_back() -> None:
    # the integral alone holds v beyond the limit when the error turns: it must go down at once
    policy = PID(SPACE, dt=0.1, low=-3.0, high=3.0)
    errors = [4.0, 4.0, -1.0, -1.0, -1.0]
    # I = 0, 4, 4 (clamped), 3, 2:  v = 0.08, 4.08, 3.98, 2.98, 1.98
    filled = run(policy, (0.02, 10.0, 0.005, 0.1), errors, [0.0] * 5)
    assert filled == pytest.approx([0.08, 3.0, 3.0, 2.98, 1.98])


def test_rows_do_not_disturb_each_other_and_no_argument_changes() -> None:
    rng = stream("rows")
    params, obs, state = rng.uniform(0, 1, (5, 4)), rng.standard_normal((5, 2)), rng.standard_normal((5, 4))
    state[:, 3] = 1.0
    before = [array.copy() for array in (params, obs, state)]
    actions, after = WIDE.act(params, obs, state)
    for array, copy in zip((params, obs, state), before, strict=True):
        assert array.tobytes() == copy.tobytes()
    for i in range(5):
        alone, then = WIDE.act(params[i : i + 1], obs[i : i + 1], state[i : i + 1])
        assert (alone.tobytes(), then.tobytes()) == (actions[i : i + 1].tobytes(), after[i : i + 1].tobytes())
    assert (after != state).any(axis=1).all()


def test_the_kernel_reads_parameters_as_the_space_does() -> None:
    rng = stream("decode")
    params = rng.uniform(-0.3, 1.3, (50, 4))  # also outside the bounds
    obs = np.tile([1.0, 0.0], (50, 1))
    actions, state = WIDE.act(params, obs, np.zeros((50, 4)))
    values = SPACE.decode(params)
    assert actions[:, 0] == pytest.approx(values[:, 0])
    assert state[:, 0] == pytest.approx(0.1 * values[:, 1])


@pytest.mark.parametrize("place", range(4))
def test_a_gain_that_is_not_a_number_shows_in_the_action(place: int) -> None:
    params = SPACE.domain.start.copy()
    params[place] = math.nan
    state = np.array([[0.5, 1.0, 0.0, 1.0]])
    for _ in range(2):
        action, state = WIDE.act(params[None], np.array([[1.0, 0.5]]), state)
    assert np.isnan(action).all()


def test_the_rules_of_ziegler_and_nichols_worked_by_hand() -> None:
    # K_u = 10 and T_u = 4 s: kp = 6, Ti = 2 s, Td = 0.5 s
    assert ultimate_gains(10.0, 4.0) == pytest.approx((6.0, 3.0, 3.0, 0.05))
    # R = 0.5 per s and L = 2 s: kp = 1.2, Ti = 4 s, Td = 1 s
    assert reaction_gains(0.5, 2.0) == pytest.approx((1.2, 0.3, 1.2, 0.1))


def test_a_space_of_gains_runs_two_decades_either_way_and_names_its_units() -> None:
    assert SPACE.bounds[0] == pytest.approx([0.02, 0.01, 0.005, 0.001])
    assert SPACE.bounds[1] == pytest.approx([200.0, 100.0, 50.0, 10.0])
    assert SPACE.domain.start == pytest.approx(0.5)
    assert [p.unit for p in SPACE.parameters] == ["V/rad", "V/(rad·s)", "V·s/rad", "s"]


def interface(obs: int, low: float = -1.0, actions: int = 1) -> Interface:
    observed = gym.spaces.Box(-1.0, 1.0, (obs,), np.float64)
    return Interface(observed, gym.spaces.Box(low, 2.0, (actions,), np.float64))


def test_the_limits_are_those_of_the_actions() -> None:
    policy = PID.of(interface(2, low=-0.5), SPACE, 0.1)
    assert policy == PID(SPACE, 0.1, -0.5, 2.0)
    params = SPACE.domain.start[None]
    assert policy.act(params, np.array([[100.0, 0.0]]), np.zeros((1, 4)))[0].item() == 2.0
    assert policy.act(params, np.array([[-100.0, 0.0]]), np.zeros((1, 4)))[0].item() == -0.5


@pytest.mark.parametrize(
    ("fits", "message"),
    [
        (interface(3), "expected two observations, the set point and the measurement, got Box"),
        (interface(2, actions=2), "expected one action, got Box of 2"),
    ],
)
def test_other_environments_are_refused_in_one_message(fits: Interface, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        make_policy("motor-pid", fits)
    assert str(raised.value).startswith("policy 'pid': expected ")


def test_choices_are_no_action_of_a_controller() -> None:
    observed = gym.spaces.Box(-1.0, 1.0, (2,), np.float64)
    with pytest.raises(ValueError, match="policy 'pid': expected one action, got Discrete of 1"):
        make_policy("motor-pid", Interface(observed, gym.spaces.Discrete(3)))
