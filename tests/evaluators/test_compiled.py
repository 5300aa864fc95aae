"""Compiled rollouts against the general evaluator, and everything that must not change their numbers."""

import dataclasses
import gc
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numba import njit
from same_rollouts import asked, assert_same, both

from policysearch.core import Array, PolicyKernel, Proposal
from policysearch.evaluators import CompiledEvaluator, EpisodeEvaluator, compiled
from policysearch.evaluators.compiled import LANES
from policysearch.jit import specialise
from policysearch.policies import MLP, Linear, Softmax
from policysearch.seeding import stream
from policysearch.simulators import Simulator, SimulatorEnv, find_simulator

BIT_EQUAL = (
    "CartPole-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "policysearch/Acrobot-v1",
    "policysearch/LQR-v0",
)


#: Of what holds however many episodes run at once, the loop of many, which takes longest to compile, is for the night.
ALONE_BY_DAY = pytest.mark.parametrize("lanes", [1, pytest.param(LANES, marks=pytest.mark.nightly)])
#: Each is a loop to compile: a policy of each kind by day, and an action of each.
BY_DAY = {("CartPole-v1", "mlp:5"), ("MountainCarContinuous-v0", "linear"), ("policysearch/LQR-v0", "linear")}


@pytest.mark.parametrize(
    ("env_id", "policy"),
    [
        pytest.param(env_id, policy, marks=[pytest.mark.nightly] * ((env_id, policy) not in BY_DAY))
        for env_id in BIT_EQUAL
        for policy in ("linear", "mlp:5")
    ],
)
@ALONE_BY_DAY
def test_the_numbers_are_those_of_the_general_evaluator(env_id: str, policy: str, lanes: int) -> None:
    ours, general, made = both(env_id, policy, lanes)
    rng = stream(env_id, policy)
    params = np.array([made.start(rng) for _ in range(5)]) + 0.3 * rng.standard_normal((5, made.num_params))
    params[3, 0], params[4, 1] = np.nan, 1e200
    for proposal in asked(params).values():
        assert_same(ours.evaluate(proposal, (1, "x")), general.evaluate(proposal, (1, "x")))


@pytest.mark.parametrize("common", [True, False])
def test_drawn_deployment_and_own_episodes_too(common: bool) -> None:
    ours, general, made = both("CartPole-v1", "linear", deploy="sample", common_random_numbers=common)
    params = stream(1).standard_normal((4, made.num_params))
    for proposal in asked(params).values():
        assert_same(ours.evaluate(proposal, (2,)), general.evaluate(proposal, (2,)))


def test_an_episode_does_not_depend_on_threads_nor_on_the_company_it_is_run_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = find_simulator(gym.make("CartPole-v1"))
    assert simulator is not None
    policy = Softmax(Linear(4, 2), (2,))
    params = stream(3).standard_normal((9, 10))
    evaluations = []
    for threads, memory in ((1, 2**26), (2, 2**26), (5, 2**26), (2, 1), (3, 60_000)):
        monkeypatch.setattr(compiled, "LOG_BYTES", memory)  # one episode at a time, or a few
        evaluator = CompiledEvaluator(simulator, policy, max_episode_steps=200, threads=threads)
        evaluations.append([evaluator.evaluate(proposal, (7,)) for proposal in asked(params).values()])
        evaluator.close()
    for others in evaluations[1:]:
        for one, other in zip(evaluations[0], others, strict=True):
            assert_same(one, other)


# ------------------------------------------------------------------------------------ simulators that fail


@njit
def reset_walk(world: Any, noise: Any) -> None:
    world[0], world[1] = noise[0], 0.0


@njit
def observe_walk(world: Any, obs: Any) -> None:
    obs[0], obs[1] = world[0], world[1] if world[1] != 77.0 else np.nan


@njit
def step_walk(world: Any, action: Any) -> Any:
    """Episodes with start numbers 1 … 6 go wrong at the third step, each in its own way."""
    world[1] += 1.0
    kind, reward, status = int(world[0]), 1.0 / (world[0] + 1.0), 0
    if world[1] == 3.0:
        if kind == 1:
            status = -1
        elif kind == 2:
            reward = np.nan
        elif kind == 3:
            raise ValueError("broken on purpose")
        elif kind == 4:
            world[1] = 77.0
        elif kind == 5:
            reward = np.inf
        elif kind == 6:
            status = 1
    if kind == 7:
        reward = 1e308
    return reward + action[0], status


class Fragile(SimulatorEnv):
    simulator = Simulator(
        observation_space=gym.spaces.Box(-np.inf, np.inf, (2,), np.float64),
        action_space=gym.spaces.Box(-1.0, 1.0, (1,), np.float64),
        make_world=lambda: np.zeros(2),
        draw=lambda rng: np.array([float(rng.integers(0, 9))]),
        reset=reset_walk,
        observe=observe_walk,
        step=step_walk,
        failures=("a leg broke",),
    )


@pytest.mark.parametrize("lanes", [1, LANES])
def test_what_goes_wrong_fails_its_episode_and_no_other(lanes: int) -> None:
    policy, episodes = Linear(2, 1), 40
    evaluator = CompiledEvaluator(Fragile.simulator, policy, max_episode_steps=10, threads=2, lanes=lanes)
    params = np.array([[0.0, 0.0, 0.1]])
    found = evaluator.evaluate(Proposal(params, params[0], episodes), (4,))
    general = EpisodeEvaluator(lambda: gym.wrappers.TimeLimit(Fragile(), 10), policy)
    expected = general.evaluate(Proposal(params, params[0], episodes), (4,))
    assert found.returns.tobytes() == expected.returns.tobytes()
    assert found.steps.tolist() == expected.steps.tolist()
    reasons = {failure.episode: failure.reason for failure in found.failures}
    assert reasons.keys() == {failure.episode for failure in expected.failures}
    for failure in expected.failures:
        if "RuntimeError" in failure.reason:
            assert reasons[failure.episode] == "a leg broke at step 2"
        elif "ValueError" in failure.reason:
            assert reasons[failure.episode] == "step: ValueError: broken on purpose"
        else:
            assert reasons[failure.episode] == failure.reason
    assert len({reason.split(" ")[1] for reason in reasons.values()}) == 5
    assert {"the reward is nan at step 2", "the reward is inf at step 2"} < set(reasons.values())
    assert {"the observation is not finite at step 3", "the return is inf"} < set(reasons.values())


@ALONE_BY_DAY
def test_division_by_zero_is_a_number_that_is_not_finite_and_no_exception(lanes: int) -> None:
    @njit
    def step(world: Any, action: Any) -> Any:
        return 1.0 / (world[1] - 0.0), False

    simulator = dataclasses.replace(Fragile.simulator, step=step)
    evaluator = CompiledEvaluator(simulator, Linear(2, 1), max_episode_steps=10, lanes=lanes)
    evaluation = evaluator.evaluate(Proposal(np.zeros((1, 3)), np.zeros(3)), (1,))
    assert [failure.reason for failure in evaluation.failures] == ["the reward is inf at step 0"]


@ALONE_BY_DAY
def test_a_simulator_that_does_not_compile_says_so_at_once(lanes: int) -> None:
    def step(world: Any, action: Any) -> Any:
        return undefined_name, False  # type: ignore[name-defined]

    simulator = dataclasses.replace(Fragile.simulator, step=step)
    evaluator = CompiledEvaluator(simulator, Linear(2, 1), max_episode_steps=10, threads=2, lanes=lanes)
    with pytest.raises(Exception, match="undefined_name"):
        evaluator.evaluate(Proposal(np.zeros((4, 3)), np.zeros(3)), (1,))
    with pytest.raises(TypeError, match="expected a function that Numba can compile, got <built-in"):
        CompiledEvaluator(dataclasses.replace(simulator, step=max), Linear(2, 1), max_episode_steps=10)


# ----------------------------------------------------------------------------------- actions and policies


@njit
def step_echo(world: Any, action: Any) -> Any:
    world[1] = action[0]
    return action[0], False


@ALONE_BY_DAY
@pytest.mark.parametrize(
    ("space", "sent", "clipped"),
    [
        (gym.spaces.Box(-1.0, 1.0, (1,), np.float64), 0.1, 0),
        (gym.spaces.Box(-1.0, 1.0, (1,), np.float32), float(np.float32(0.1)), 0),
        (gym.spaces.Box(-0.05, 0.05, (1,), np.float64), 0.05, 4),
        (gym.spaces.Box(0, 5, (1,), np.int64), 0.0, 0),
    ],
)
def test_an_action_is_clipped_and_rounded_as_its_space_wants_it(
    space: gym.spaces.Box, sent: float, clipped: int, lanes: int
) -> None:
    simulator = dataclasses.replace(Fragile.simulator, step=step_echo, action_space=space)
    evaluator = CompiledEvaluator(simulator, Linear(2, 1), max_episode_steps=4, lanes=lanes)
    params = np.array([[0.0, 0.0, 0.1]])
    evaluation = evaluator.evaluate(Proposal(params, params[0]), (1,))
    assert evaluation.returns[0, 0] == pytest.approx(4 * sent, rel=1e-15)
    assert evaluation.clipped_steps == clipped


@ALONE_BY_DAY
def test_discrete_actions_count_from_where_their_space_starts(lanes: int) -> None:
    space = gym.spaces.MultiDiscrete([2, 3], start=[10, 20])

    @njit
    def step(world: Any, action: Any) -> Any:
        return 100.0 * action[0] + action[1], True

    simulator = dataclasses.replace(Fragile.simulator, step=step, action_space=space)
    evaluator = CompiledEvaluator(simulator, Softmax(Linear(2, 5), (2, 3)), max_episode_steps=4, lanes=lanes)
    params = np.zeros((1, 15))
    params[0, 10:] = [0.0, 1.0, 0.0, 0.0, 1.0]  # the second of two, the third of three
    assert evaluator.evaluate(Proposal(params, params[0]), (1,)).returns[0, 0] == 1100 + 22


@ALONE_BY_DAY
def test_observations_in_single_precision_are_rounded_for_the_policy(lanes: int) -> None:
    space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    @njit
    def reset(world: Any, noise: Any) -> None:
        world[0], world[1] = 0.1, 0.0

    simulator = dataclasses.replace(Fragile.simulator, observation_space=space, reset=reset, step=step_echo)
    evaluator = CompiledEvaluator(simulator, Linear(2, 1), max_episode_steps=1, lanes=lanes)
    params = np.array([[1.0, 0.0, 0.0]])
    assert evaluator.evaluate(Proposal(params, params[0]), (1,)).returns[0, 0] == np.float32(0.1)


@dataclass(frozen=True)
class Integrator:
    """u = −p x − q Σ x, with a memory of one number: a policy that a user brings."""

    num_params: int = 2
    state_size: int = 1
    param_names: tuple[str, ...] = ("p", "q")

    @property
    def kernel(self) -> PolicyKernel:
        return PolicyKernel(ACT, ACT, 0, 0)

    def start(self, rng: np.random.Generator) -> Array:
        return np.zeros(2)

    def act(self, params: Array, obs: Array, state: Array) -> tuple[Array, Array]:
        state = state + obs[:, :1]
        return -params[:, :1] * obs[:, :1] - params[:, 1:] * state, state


@specialise
def ACT(params: Any, obs: Any, state: Any, noise: Any, scratch: Any, action: Any) -> None:  # noqa: N802
    state[0] += obs[0]
    action[0] = -params[0] * obs[0] - params[1] * state[0]


@dataclass(frozen=True)
class Plain(Integrator):
    """The same without a kernel."""

    kernel = None  # type: ignore[assignment]


def test_a_policy_with_a_memory_starts_every_episode_with_an_empty_one() -> None:
    simulator = dataclasses.replace(Fragile.simulator, step=step_echo)
    policy = Integrator()
    params = np.array([[0.01, 0.02], [0.03, -0.01]])
    evaluator = CompiledEvaluator(simulator, policy, max_episode_steps=6, threads=1)
    found = evaluator.evaluate(Proposal(params, params[0], 3), (1,))

    class Echo(Fragile):
        pass

    Echo.simulator = simulator
    general = EpisodeEvaluator(lambda: gym.wrappers.TimeLimit(Echo(), 6), Plain())
    assert found.returns == pytest.approx(
        general.evaluate(Proposal(params, params[0], 3), (1,)).returns, rel=1e-12
    )
    assert len(np.unique(found.returns)) > 3


# --------------------------------------------------------------------------------------------- bad requests


def test_a_policy_without_a_kernel_and_a_misfit_are_refused() -> None:
    simulator = Fragile.simulator
    with pytest.raises(ValueError, match="policy: expected one with a kernel"):
        CompiledEvaluator(simulator, Plain(), max_episode_steps=10)
    with pytest.raises(ValueError, match="policy: expected one for observations of 2 numbers"):
        CompiledEvaluator(simulator, Linear(3, 1), max_episode_steps=10)
    with pytest.raises(ValueError, match="policy: expected actions of 1 numbers, got 2"):
        CompiledEvaluator(simulator, Linear(2, 2), max_episode_steps=10)
    with pytest.raises(ValueError, match="expected at least 1, got 0 threads"):
        CompiledEvaluator(simulator, Linear(2, 1), max_episode_steps=10, threads=0)
    evaluator = CompiledEvaluator(simulator, Linear(2, 1), max_episode_steps=10)
    with pytest.raises(ValueError, match="params: expected 3 numbers per candidate, got 4"):
        evaluator.evaluate(Proposal(np.zeros((1, 4)), np.zeros(4)), (1,))
    with pytest.raises(ValueError, match="expected a stochastic one to sample from"):
        evaluator.evaluate(Proposal(np.zeros((1, 3)), np.zeros(3), sample=True), (1,))


@pytest.mark.nightly  # a network of its own to compile
def test_tall_populations_need_no_memory_beyond_their_parameters() -> None:
    """4,096 candidates with 64 hidden units."""
    import tracemalloc

    simulator = find_simulator(gym.make("CartPole-v1"))
    assert simulator is not None
    policy = Softmax(MLP(4, 2, (64,)), (2,))
    params = 0.1 * stream(1).standard_normal((4096, policy.num_params))
    evaluator = CompiledEvaluator(simulator, policy, max_episode_steps=500, threads=2)
    evaluator.evaluate(Proposal(params[:2], params[0]), (1,))
    proposal = Proposal(params, params[0])
    tracemalloc.start()
    evaluation = evaluator.evaluate(proposal, (1,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert evaluation.returns.shape == (4096, 1)
    assert peak < 0.2 * params.nbytes


@ALONE_BY_DAY
def test_ctrl_c_stops_a_long_evaluation_and_the_next_one_is_right(lanes: int) -> None:
    simulator = dataclasses.replace(Fragile.simulator, step=step_echo)
    evaluator = CompiledEvaluator(simulator, Linear(2, 1), max_episode_steps=500_000, threads=2, lanes=lanes)
    evaluator.compile()
    params = np.array([[0.0, 0.0, 0.1]])
    threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        evaluator.evaluate(Proposal(params, params[0], 2000), (1,))
    assert time.monotonic() - began < 10
    assert evaluator.evaluate(Proposal(params, params[0], 2), (1,)).steps.tolist() == [[500_000] * 2]


def test_the_threads_are_given_back() -> None:
    before = set(threading.enumerate())
    evaluator = CompiledEvaluator(Fragile.simulator, Linear(2, 1), max_episode_steps=10, threads=4, lanes=1)
    params = np.zeros((8, 3))
    evaluator.evaluate(Proposal(params, params[0], 4), (1,))
    threads = set(threading.enumerate()) - before
    assert threads
    del evaluator  # or close() it
    gc.collect()
    for thread in threads:
        thread.join(5)
    assert not set(threading.enumerate()) - before


def test_short_evaluations_are_run_by_the_calling_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = CompiledEvaluator(Fragile.simulator, Linear(2, 1), max_episode_steps=10, threads=4)
    params = np.zeros((8, 3))
    proposal, started = Proposal(params, params[0], 4), list[Any]()
    first = evaluator.evaluate(proposal, (1,))
    monkeypatch.setattr(evaluator._crew, "start", lambda *arguments: started.append(arguments))
    for name in ("TINY_SECONDS", "SHORT_SECONDS"):  # the first one has compiled
        monkeypatch.setattr(compiled, name, np.inf)
    again = evaluator.evaluate(proposal, (1,))
    assert_same(first, again)
    assert not started
