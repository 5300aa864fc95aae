"""Many episodes at once: the numbers of one after the other, whatever happens in them."""

import dataclasses
import platform
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numba import njit
from same_rollouts import asked, assert_same
from test_compiled import Fragile, step_echo

from policysearch.core import Evaluation, Policy, Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.evaluators.compilation import compiled_lanes, may_run_in_lanes
from policysearch.evaluators.compiled import LANES
from policysearch.policies import MLP, Gaussian, Linear, Softmax
from policysearch.seeding import stream
from policysearch.simulators import CLASSIC_CONTROL, Simulator, find_simulator

CART_POLE, PENDULUM = Softmax(Linear(4, 2), (2,)), Gaussian(Linear(3, 1))
POLICIES: dict[str, Policy] = {
    "CartPole-v1": CART_POLE,
    "Pendulum-v1": PENDULUM,
    "Acrobot-v1": Softmax(Linear(6, 3), (3,)),
    "MountainCar-v0": Softmax(Linear(2, 3), (3,)),
    "MountainCarContinuous-v0": Gaussian(Linear(2, 1)),
}


def simulator_of(env_id: str) -> Simulator:
    simulator = find_simulator(gym.make(env_id))
    assert simulator is not None
    return simulator


def evaluations(env_id: str, lanes: int, threads: int, steps: int) -> list[Evaluation]:
    """Of all kinds of proposals, with candidates whose episodes fail."""
    policy = POLICIES[env_id]
    rng = stream("lanes", env_id)
    params = np.array([policy.start(rng) for _ in range(21)]) + rng.standard_normal((21, policy.num_params))
    params[3, 0], params[4, 1] = np.nan, 1e200
    evaluator = CompiledEvaluator(
        simulator_of(env_id), policy, max_episode_steps=steps, threads=threads, lanes=lanes
    )
    found = [evaluator.evaluate(proposal, (7,)) for proposal in asked(params).values()]
    assert (evaluator._many is not None) == (lanes > 1)
    evaluator.close()
    return found


@pytest.mark.parametrize(
    "env_id",
    [
        pytest.param(env_id, marks=[pytest.mark.nightly] * (env_id != "CartPole-v1"))
        for env_id in CLASSIC_CONTROL
    ],
)
def test_the_numbers_do_not_depend_on_how_many_run_at_once(env_id: str) -> None:
    for steps in (3, 120):
        one = evaluations(env_id, 1, 1, steps)
        for lanes, threads in ((LANES, 1), (LANES, 2)):
            for expected, found in zip(one, evaluations(env_id, lanes, threads, steps), strict=True):
                assert_same(expected, found)


@pytest.mark.nightly
@pytest.mark.parametrize("lanes", [2, 3, 8, 64])
def test_nor_on_any_number_of_lanes(lanes: int) -> None:
    for expected, found in zip(
        evaluations("CartPole-v1", 1, 1, 120), evaluations("CartPole-v1", lanes, 2, 120), strict=True
    ):
        assert_same(expected, found)


def test_worlds_of_plain_numbers_and_short_policies_run_in_lanes() -> None:
    cart_pole, lqr = simulator_of("CartPole-v1"), simulator_of("policysearch/LQR-v0")
    assert may_run_in_lanes(cart_pole, CART_POLE)
    assert not may_run_in_lanes(cart_pole, Softmax(MLP(4, 2, (8,)), (2,)))  # a network's rows are its lanes
    assert not may_run_in_lanes(lqr, Linear(3, 3))  # a world of several arrays
    assert not Linear(100, 3).in_lanes


def test_what_only_one_episode_can_do_runs_one_after_the_other() -> None:
    @njit
    def observe(world: Any, obs: Any) -> None:
        obs[0], obs[1] = world.astype(np.float64).sum(), world.reshape((1, 2))[0, 1]

    simulator = dataclasses.replace(Fragile.simulator, observe=observe, step=step_echo)
    evaluator = CompiledEvaluator(simulator, Linear(2, 1), max_episode_steps=4)
    params = np.array([[0.0, 0.0, 0.1]])
    assert evaluator.evaluate(Proposal(params, params[0]), (1,)).returns[0, 0] == pytest.approx(0.4)
    assert evaluator._many is None


def test_lanes_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="expected at least 1, got 2 threads, 10 steps and 0 lanes"):
        CompiledEvaluator(Fragile.simulator, Linear(2, 1), max_episode_steps=10, threads=2, lanes=0)


@pytest.mark.nightly
@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks for instructions of x86-64")
@pytest.mark.parametrize("env_id", CLASSIC_CONTROL)
def test_a_step_becomes_vector_instructions(env_id: str) -> None:
    from numba import float64, int64

    parts = compiled_lanes(simulator_of(env_id), POLICIES[env_id], LANES).py_func.__globals__
    for name in ("move", "choose"):
        part = parts[name]
        part.disable_compile(False)
        part._cache.flush()
        part.compile((float64[::1], int64))
        assert "mulpd" in part.inspect_asm(part.signatures[0])
