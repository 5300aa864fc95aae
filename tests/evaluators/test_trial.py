"""What old and odd environments do: it works, or is refused in one message that says what to do."""

import socket
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from problems import WALKER, PlainGaussian, PlainSoftmax

from policysearch.core import Array, Proposal
from policysearch.evaluators import EpisodeEvaluator
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.trial import try_out
from policysearch.policies import Linear
from policysearch.seeding import stream
from policysearch.tasks import Task, make_evaluator

SEE = spaces.Box(-1.0, 1.0, (2,))


class Plain(gym.Env[Any, Any]):
    """Five steps of an observation `seen`, paid by the reward `paid`."""

    observation_space: Any = SEE
    action_space: Any = SEE
    seen: Any = np.array([0.25, -0.5])
    paid: Any = 1.5

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.seen, {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.seen, self.paid, False, self.t >= 5, {}


class OldReset(Plain):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0]


class NoSeed(Plain):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


class NoOptions(Plain):
    def reset(self, seed: int | None = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)


class FourTuple(Plain):
    def step(self, action: Any) -> Any:
        *first, _, info = super().step(action)
        return *first, info


class NoServer(Plain):
    def reset(self, **_: Any) -> Any:
        with socket.create_connection(("localhost", 1)):
            return super().reset()


class Undefined(Plain):
    def reset(self, **_: Any) -> Any:
        return np.sqrt(self.nothing), {}  # type: ignore[attr-defined]


class Breaks(Plain):
    def step(self, action: Any) -> Any:
        raise RuntimeError("a leg broke")


def kind(base: Any = Plain, **changes: Any) -> Any:
    return type(base.__name__, (base,), changes)


ONE, STACK, GRID = spaces.Box(-9, 99, (1,)), spaces.Box(-1, 1, (2, 2)), spaces.Discrete(4)
BOTH = spaces.Tuple((spaces.Box(-1, 1, (1,)), spaces.Box(-1, 1, (1,))))


@pytest.mark.parametrize(
    ("env", "obs"),
    [
        (OldReset, [0.25, -0.5]),
        (kind(OldReset, seen=(0.25, -0.5)), [0.25, -0.5]),  # a tuple of two, but no information
        (kind(OldReset, observation_space=ONE, seen=np.array([3.0])), [3.0]),
        (kind(OldReset, observation_space=STACK, seen=np.eye(2)), [1.0, 0.0, 0.0, 1.0]),  # [0] is a frame
        (kind(OldReset, observation_space=GRID, seen=2), [0.0, 0.0, 1.0, 0.0]),
        (kind(OldReset, observation_space=BOTH, seen=([0.5], [1.0])), [0.5, 1.0]),
        (kind(observation_space=ONE, seen=38), [38.0]),  # a number where an array of one was promised
        (kind(observation_space=ONE, seen=np.array([[38.0]])), [38.0]),
        (kind(observation_space=GRID, seen=np.array([3])), [0.0, 0.0, 0.0, 1.0]),
        (kind(seen=[0.25, -0.5]), [0.25, -0.5]),
    ],
)
def test_what_an_odd_environment_shows_is_seen_as_it_is_meant(env: Any, obs: list[float]) -> None:
    evaluator = EpisodeEvaluator(env, PlainGaussian(Linear(len(obs), 2)))
    params = np.zeros((1, evaluator.policy.num_params))
    for episodes in (1, 2):  # alone, and in lockstep
        found = evaluator.evaluate(Proposal(params, params[0], episodes, sample=True, record=True), (1,))
        assert found.returns.tolist() == [[7.5] * episodes]
        assert found.rollouts[0][0].obs.tolist() == [obs] * 5


@pytest.mark.parametrize("paid", [np.array([1.5]), np.array([[1.5]]), np.array(1.5), np.float16(1.5)])
def test_an_array_of_one_number_is_a_reward(paid: Any) -> None:
    evaluator = EpisodeEvaluator(kind(action_space=ONE, paid=paid), WALKER)
    for episodes in (1, 2):
        found = evaluator.evaluate(Proposal(np.zeros((1, 4)), np.zeros(4), episodes), (1,))
        assert found.returns.tolist() == [[7.5] * episodes]


@pytest.mark.parametrize(
    ("space", "seen"),
    [
        (GRID, -1),  # Python would count it from the end
        (GRID, 4),
        (GRID, 1.5),
        (spaces.MultiDiscrete([2, 3]), [0, -1]),  # the last choice of the part before
        (spaces.MultiDiscrete([2, 3]), [2, 0]),  # the first one of the part after
        (spaces.Dict({"a": GRID, "b": SEE}), {"a": -1, "b": np.zeros(2)}),
        (spaces.Tuple((SEE, GRID)), (np.zeros(2), 5)),
        (
            spaces.Dict({"a": spaces.Box(0, 255, (2,), np.uint8)}),
            {"a": np.array([0.5, 0.0])},
        ),  # would be cut to 0
        (spaces.Dict({"a": spaces.Box(0, 255, (2,), np.uint8)}), {"a": np.array([256, 0])}),  # would be 0
    ],
)
def test_an_observation_that_would_be_taken_for_another_one_fails(space: Any, seen: Any) -> None:
    observe = Interface(space, SEE).observer()
    assert observe is not None
    with pytest.raises((ValueError, IndexError)):
        observe(seen)


def test_several_bits_are_an_action() -> None:
    told: list[Any] = []

    class Bits(Plain):
        action_space = spaces.MultiBinary((2, 2))

        def step(self, action: Any) -> Any:
            told.append(action)
            assert self.action_space.contains(action)
            return super().step(action)

    evaluator = EpisodeEvaluator(Bits, PlainSoftmax(Linear(2, 8), (2, 2, 2, 2)))
    params = 3 * stream(1).standard_normal((4, evaluator.policy.num_params))
    for episodes in (1, 3):
        found = evaluator.evaluate(Proposal(params[:episodes], params[0], 2, sample=True), (1,))
        assert np.isfinite(found.returns).all()
    assert {int(bit) for action in told for bit in action.ravel()} == {0, 1}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (NoSeed, r"reset: TypeError: .*unexpected keyword argument 'seed' \(.*\); without a seed no episode can be repeated"),
        (NoOptions, r"reset: TypeError: .*'options' .*; write reset\(self, \*, seed=None, options=None\)"),
        (NoServer, r"reset: ConnectionRefusedError: .*Connection refused \(.*socket.py:\d+\)"),
        (Undefined, r"reset: AttributeError: 'Undefined' object has no attribute 'nothing' \(.*test_trial.py:\d+\)"),
        (kind(seen=np.ones(3)), r"reset: ValueError: expected an observation of shape \(2,\), got \(3,\)"),
        (kind(seen=None), r"reset: ValueError: expected an observation of shape \(2,\), got \(\)"),
        (kind(seen="go"), "reset: ValueError: could not convert string to float"),
        (kind(observation_space=GRID, seen=7), r"reset: ValueError: expected an observation of Discrete\(4\), got 7"),
        (FourTuple, r"step: ValueError: .*expected 5, got 4\) .*; step returns four values, as before Gym 0.26: return"),
        (kind(paid=None), "step: TypeError: "),
        (kind(paid=np.ones(2)), r"step: TypeError: expected a real number as reward, got array\(\[1., 1.\]\)"),
    ],
)  # fmt: skip
def test_an_environment_that_does_not_keep_to_the_interface_is_refused_before_any_rollout(
    env: Any, said: str
) -> None:
    gym.register("Odd-v0", entry_point=env)
    try:
        with pytest.raises(ValueError, match=said) as refused:
            Task("Odd-v0", "Odd-v0").meet()
    finally:
        del gym.registry["Odd-v0"]
    assert "\n" not in str(refused.value)


def test_an_environment_that_breaks_in_its_first_step_may_be_run() -> None:
    env = Breaks()
    try_out(env, Interface(env.observation_space, env.action_space))


def test_an_error_of_the_users_code_when_copies_are_built_later_is_one_message() -> None:
    class Once(Plain):
        built = 0

        def __init__(self) -> None:
            Once.built += 1
            if Once.built > 1:
                raise ConnectionRefusedError("no licence is free")

    gym.register("Once-v0", entry_point=Once)
    task = Task("Once-v0", "Once-v0", policy="gaussian-linear")
    policy = task.make_policy()
    with pytest.raises(ValueError, match=r"Once-v0: ConnectionRefusedError: no licence is free \(.*\)$"):
        make_evaluator(task, policy)
    del gym.registry["Once-v0"]


@pytest.mark.parametrize(
    ("see", "do", "said"),
    [
        (spaces.Dict({"a": SEE, "w": spaces.Text(4), "m": spaces.Graph(SEE, None)}), SEE, r"FilterObservation\(env, \['a', 'w'\]\)"),
        (spaces.Graph(SEE, None), SEE, "TransformObservation"),
        (spaces.Sequence(SEE), SEE, "TransformObservation"),
        (SEE, spaces.Text(4), r"TransformAction\(env, FUNCTION, SPACE\)"),
        (SEE, spaces.Dict({"a": SEE, "b": spaces.Discrete(3)}), r"TransformAction\(env, FUNCTION, SPACE\)"),
        (SEE, spaces.Dict({"a": SEE, "b": SEE}), r"unflatten\(env.action_space, action\), gymnasium.spaces.flatten_space"),
        (SEE, spaces.Tuple((SEE, SEE)), r"unflatten\(env.action_space, action\), gymnasium.spaces.flatten_space"),
    ],
)  # fmt: skip
def test_a_space_without_a_vector_is_refused_with_what_to_do(see: Any, do: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Interface(see, do)


def test_the_wrapper_that_is_recommended_for_actions_of_several_parts_works() -> None:
    class Parts(Plain):
        action_space = spaces.Dict({"x": spaces.Box(-1.0, 1.0, (1,)), "y": spaces.Box(-1.0, 1.0, (1,))})

        def step(self, action: Any) -> Any:
            assert self.action_space.contains(action)
            return super().step(action)

    def make() -> Any:
        env: Any = Parts()
        return gym.wrappers.TransformAction(
            env,
            lambda action: gym.spaces.unflatten(env.action_space, action),
            gym.spaces.flatten_space(env.action_space),
        )

    params: Array = np.zeros((1, 6))
    found = EpisodeEvaluator(make, Linear(2, 2)).evaluate(Proposal(params, params[0], 2), (1,))
    assert np.isfinite(found.returns).all()
