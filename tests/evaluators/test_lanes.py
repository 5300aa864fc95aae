"""Many episodes at once: the numbers of one after the other, whatever happens in them."""

import dataclasses
import math
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
from policysearch.evaluators.results import empty_results
from policysearch.policies import MLP, Gaussian, Linear, Softmax
from policysearch.seeding import stream
from policysearch.simulators import CLASSIC_CONTROL, Simulator, find_simulator

CART_POLE = Softmax(Linear(4, 2), (2,))
PENDULUM = Gaussian(Linear(3, 1))
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

    advance = compiled_lanes(simulator_of(env_id), POLICIES[env_id], LANES).py_func.__globals__["advance"]
    advance.disable_compile(False)
    advance._cache.flush()
    advance.compile((float64[::1], int64, int64))
    instructions = advance.inspect_asm(advance.signatures[0]).split()
    assert {"mulpd", "vmulpd"} & set(instructions)
    assert not {"mulsd", "vmulsd"} & set(instructions)  # no lane is left over
    if env_id != "MountainCarContinuous-v0":  # whose step has a branch
        assert "vmaskmovpd" not in instructions  # slow


@pytest.mark.parametrize("active", [1, 6, 8])
def test_lanes_beyond_the_last_are_copies_of_the_first(active: int) -> None:
    run = compiled_lanes(simulator_of("CartPole-v1"), Softmax(Linear(4, 2), (2,)), LANES)
    evaluator = CompiledEvaluator(simulator_of("CartPole-v1"), CART_POLE, max_episode_steps=9)
    parts, params = run.py_func.__globals__, stream("copies").standard_normal((active, 10))
    rows = np.zeros((parts["ROW"].end, parts["LANES"]))
    rows[parts["ROW"].ended] = 1.0
    batch = evaluator._no_episodes._replace(
        params=params, candidate=np.arange(active), draws=np.full((1, 4), 0.01), draw_of=np.zeros(active, int)
    )
    counter, current, began = np.zeros(1, int), np.full(LANES, -1), np.zeros(LANES, int)
    results = empty_results(active, 4)
    found = parts["refill"](rows.ravel(), LANES, 0, began, counter, current, batch, results)
    assert found == (active, 9)
    first = parts["ROW"].params
    assert np.array_equal(rows[first : first + 10, :active], params.T)
    spare = rows[:, active : parts["computed"](active)]
    assert spare.shape[1] == -active % 4
    assert np.array_equal(spare, np.repeat(rows[:, :1], spare.shape[1], axis=1))


def test_a_plant_that_calls_the_c_library_has_no_lanes_beyond_the_last() -> None:
    @njit
    def step(world: Any, action: Any) -> Any:
        world[0] = math.sin(world[0])
        return 0.0, False

    plant = dataclasses.replace(Fragile.simulator, step=step)
    assert compiled_lanes(plant, Linear(2, 1), 8).py_func.__globals__["WIDTH"] == 1
    assert compiled_lanes(Fragile.simulator, Linear(2, 1), 8).py_func.__globals__["WIDTH"] == 4


def test_a_return_that_is_not_finite_fails_its_episode() -> None:
    simulator = dataclasses.replace(Fragile.simulator, draw=lambda rng: np.array([7.0]))
    evaluator = CompiledEvaluator(simulator, Linear(2, 1), max_episode_steps=10)
    evaluation = evaluator.evaluate(Proposal(np.zeros((1, 3)), np.zeros(3), 5), (1,))
    assert [failure.reason for failure in evaluation.failures] == ["the return is inf"] * 5
    assert evaluator._many is not None
