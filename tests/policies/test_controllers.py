"""Controllers for a pendulum and a quadrotor, and what holds for all controllers."""

import math

import numpy as np
import pytest

from policysearch.core import Array, Proposal
from policysearch.evaluators import EpisodeEvaluator
from policysearch.policies import CascadedPID, EnergySwingUp
from policysearch.policies.cascaded_pid import MAX_SUM, MAX_TILT
from policysearch.policies.controller import Controller
from policysearch.seeding import stream
from policysearch.simulators import pendulum, quadrotor
from policysearch.tasks import TASKS, make_evaluator

TUNED = (
    "motor-pid", "thermal-pid", "tanks-pid", "quadrotor-cascade", "cart-pole-lqr", "pendulum-swing-up", "swimmer-cpg",
)  # fmt: skip
#: Each has its own loop to compile: by day one with a memory, and one without.
BY_NIGHT = ("thermal-pid", "tanks-pid", "quadrotor-cascade", "cart-pole-lqr", "swimmer-cpg")
every_task = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * (name in BY_NIGHT)) for name in TUNED]
)


def controller(name: str) -> Controller:
    policy = TASKS[name].make_policy()
    assert isinstance(policy, Controller)
    return policy


@every_task
def test_compiled_rollouts_are_those_of_the_environment(name: str) -> None:
    task, policy = TASKS[name], controller(name)
    domain = policy.space.domain
    params = np.vstack(
        [domain.start, stream(name).uniform(domain.lower, domain.upper, (2, policy.num_params))]
    )
    compiled, general = (
        make_evaluator(task, policy, kind="compiled"),
        EpisodeEvaluator(task.factory(), policy),
    )
    one, other = (e.evaluate(Proposal(params, params[0], 2), (3,)) for e in (compiled, general))
    if name == "pendulum-swing-up":  # Gymnasium's own pendulum rounds otherwise
        assert one.returns == pytest.approx(other.returns, rel=1e-9)
    else:
        assert one.returns.tolist() == other.returns.tolist()
    assert one.clipped_steps == 0 or name == "cart-pole-lqr"
    assert len(np.unique(one.returns)) == one.returns.size
    compiled.close()


@every_task
def test_parameters_have_names_units_and_bounds_and_start_within(name: str) -> None:
    policy = controller(name)
    assert policy.param_names == tuple(p.name for p in policy.space.parameters)
    assert policy.num_params == len(policy.space.parameters)
    assert policy.space.domain.enclosed
    assert policy.start(stream(0)).tolist() == policy.space.domain.start.tolist()
    assert name == "cart-pole-lqr" or all(p.unit for p in policy.space.parameters)


@every_task
def test_every_parameter_matters(name: str) -> None:
    task, policy = TASKS[name], controller(name)
    params = np.tile(policy.space.domain.start, (1 + policy.num_params, 1))
    params[1:] += 0.1 * np.eye(policy.num_params)
    evaluator = make_evaluator(task, policy, kind="compiled")
    returns = evaluator.evaluate(Proposal(params, params[0], 3), (3,)).returns
    assert (returns[1:] != returns[0]).any(axis=1).all()
    evaluator.close()


@every_task
def test_a_parameter_that_is_not_a_number_fails_its_candidate_and_no_other(name: str) -> None:
    task, policy = TASKS[name], controller(name)
    params = np.tile(policy.space.domain.start, (1 + policy.num_params, 1))
    params[1:][np.eye(policy.num_params, dtype=bool)] = np.nan
    evaluator = make_evaluator(task, policy, kind="compiled")
    evaluation = evaluator.evaluate(Proposal(params, params[0]), (3,))
    assert np.isnan(evaluation.returns[:, 0]).tolist() == [False] + [True] * policy.num_params
    assert {f.reason.rpartition(" ")[0] for f in evaluation.failures} == {"the action is not finite at step"}
    evaluator.close()


# --------------------------------------------------------------------------------------------------- the pendulum

SWING = EnergySwingUp(1.0, 1.0, 10.0, 2.0)


def pushed(values: tuple[float, ...], angle: float, speed: float) -> float:
    """The torque for these values."""
    params, obs = SWING.space.encode(np.array(values)), np.array([math.cos(angle), math.sin(angle), speed])
    return float(SWING.act(params[None], obs[None], np.zeros((1, 0)))[0][0, 0])


def test_the_swing_up_worked_by_hand() -> None:
    # hanging at 3 rad/s: E = 9/6 − 10 = −8.5 J;  standing at 6 rad/s: 6 J too much
    assert pushed((0.1, 0.3, 6.0, 0.5), math.pi, 3.0) == pytest.approx(0.85)
    assert pushed((0.1, 0.3, 6.0, 0.5), math.pi, -3.0) == pytest.approx(-0.85)
    assert pushed((0.1, 0.05, 6.0, 0.5), 0.1, 6.0) == pytest.approx(
        -0.1 * (6.0 + 5.0 * (math.cos(0.1) - 1.0))
    )
    assert pushed((1.0, 0.3, 6.0, 0.5), math.pi, 3.0) == 2.0
    # holding: −6 · 0.2 + 0.5 · 1 = −0.7, on either side of the switching angle of 0.3
    assert pushed((0.1, 0.3, 6.0, 0.5), 0.2, -1.0) == pytest.approx(-0.7)
    assert pushed((0.1, 0.3, 6.0, 0.5), -0.2, 1.0) == pytest.approx(0.7)
    assert pushed((0.1, 0.19, 6.0, 0.5), 0.2, -1.0) > 0.0


def test_energy_goes_to_that_of_the_upright_pendulum() -> None:
    env = pendulum.PendulumEnv()
    env._reset_world(env._world, np.array([math.pi - 0.1, 0.0]))

    def energy() -> float:
        angle, speed = env._world
        return float(speed**2 / 6.0 + 5.0 * (math.cos(angle) - 1.0))

    for _ in range(200):
        angle, speed = env._world
        env.step(np.array([pushed((1.0, 0.05, 6.0, 0.5), angle, speed)]))
    assert abs(energy()) < 0.5  # from −10 J


# -------------------------------------------------------------------------------------------------- the quadrotor

FLY = CascadedPID(mass=0.5, inertia=0.004, arm=0.25, gravity=10.0, dt=0.02, max_thrust=5.0)
#: Position, height and tilt.
GAINS = np.array([0.5, 0.2, 1.0, 2.0, 0.5, 3.0, 20.0, 5.0])


def thrusts(obs: Array, state: Array, gains: Array = GAINS) -> tuple[Array, Array]:
    action, after = FLY.act(FLY.space.encode(gains)[None], obs[None], state[None])
    return action[0], after[0]


def test_the_cascade_worked_by_hand() -> None:
    # aₓ = −0.5·2 − 0.2·1 − 1·0.3 = −1.5, θ* = 0.15;  a_z = −2·(−1) − 0.5·2 − 3·0.2 = 0.4
    # thrust/2 = 0.25 · 10.4 / cos 0.1;  torque = 0.004 (20 · 0.05 − 5 · 0.04) = 0.0032 N·m, over 2 r: 0.0064 N
    action, after = thrusts(np.array([2.0, -1.0, 0.1, 0.3, 0.2, 0.04]), np.array([1.0, 2.0]))
    half = 2.6 / math.cos(0.1)
    assert action == pytest.approx([half + 0.0064, half - 0.0064])
    assert after == pytest.approx([1.04, 1.98])


def test_tilt_sums_and_thrusts_have_limits() -> None:
    far = np.array([100.0, 0.0, MAX_TILT, 0.0, 0.0, 0.0])  # θ* is at its limit, and the tilt there already
    action, after = thrusts(far, np.array([MAX_SUM, 0.0]))
    assert action[0] == pytest.approx(action[1])
    assert after.tolist() == [MAX_SUM, 0.0]
    assert thrusts(np.array([0.0, 100.0, 0, 0, 0, 0]), np.zeros(2))[0].tolist() == [0.0, 0.0]
    assert thrusts(np.array([0.0, -100.0, 0, 0, 0, 0]), np.zeros(2))[0].tolist() == [5.0, 5.0]


def test_the_cascade_reaches_the_target_in_the_wind_and_its_integrals_hold_it_there() -> None:
    gains = np.array([3.0, 1.0, 3.0, 5.0, 2.0, 4.0, 200.0, 25.0])
    policy = TASKS["quadrotor-cascade"].make_policy()
    env = quadrotor.QuadrotorEnv()
    for ki, arrives in ((1.0, True), (0.001, False)):
        gains[1], state = ki, np.zeros((1, 2))
        env._reset_world(env._world, np.array([1.0, -1.0, 1.2 * quadrotor.MASS, quadrotor.INERTIA, 0.5]))
        obs = env._observe()
        for _ in range(1000):
            action, state = policy.act(FLY.space.encode(gains)[None], np.asarray(obs)[None], state)
            obs, *_ = env.step(action[0])
        assert bool(abs(np.asarray(obs)[:2]).max() < 0.02) is arrives
