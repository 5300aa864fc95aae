"""Spaces: flat observations in, actions of the right form out."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.evaluators.interface import Interface, find_spec, make_factory
from policysearch.policies import MLP, Gaussian, Linear, Softmax
from policysearch.tasks import make_policy

SEE = spaces.Box(-1.0, 1.0, (2,))


def act(space: spaces.Space[Any], actions: Any) -> tuple[Any, Any]:
    return Interface(SEE, space).actor()(np.array(actions, dtype=float))


def test_a_discrete_action_counts_from_where_its_space_starts() -> None:
    told, clipped = act(spaces.Discrete(3, start=-1), [[0], [1], [2]])
    assert told == [-1, 0, 1]
    assert all(type(action) is int for action in told)
    assert clipped is None


def test_several_discrete_actions_take_the_shape_and_type_of_their_space() -> None:
    told, _ = act(spaces.MultiDiscrete([2, 3]), [[1, 2], [0, 0]])
    assert told.tolist() == [[1, 2], [0, 0]]
    square = spaces.MultiDiscrete([[2, 3], [4, 5]], dtype=np.int32, start=[[0, 10], [20, 30]])
    told, _ = act(square, [[1, 2, 3, 4]])
    assert told.tolist() == [[[1, 12], [23, 34]]]
    assert told.dtype == np.int32
    assert square.contains(told[0])


def test_continuous_actions_are_clipped_to_their_own_bounds_and_every_row_that_was_is_told() -> None:
    low, high = [[-1.0, 0.0], [-np.inf, 2.0]], [[1.0, 0.5], [np.inf, 3.0]]
    box = spaces.Box(np.array(low, np.float32), np.array(high, np.float32))
    rows = [[0.0, 0.25, 1e9, 2.5], [-2.0, 0.25, 0.0, 2.5], [0.0, 0.6, 0.0, 1.0], [1.0, 0.0, -1e9, 3.0]]
    told, clipped = act(box, rows)
    assert told.tolist() == [
        [[0.0, 0.25], [1e9, 2.5]],
        [[-1.0, 0.25], [0.0, 2.5]],
        [[0.0, 0.5], [0.0, 2.0]],
        [[1.0, 0.0], [-1e9, 3.0]],  # the bounds themselves are inside
    ]
    assert clipped.tolist() == [False, True, True, False]
    assert told.dtype == np.float32


def test_whole_numbers_are_rounded_to_the_nearest_and_clipped() -> None:
    told, clipped = act(spaces.Box(0, 255, (1,), np.uint8), [[254.6], [256.0], [-3.0], [1.4], [1.6]])
    assert told.tolist() == [[255], [255], [0], [1], [2]]
    assert told.dtype == np.uint8
    assert clipped.tolist() == [False, True, True, False, False]


@settings(deadline=None)
@given(
    st.sampled_from([np.float32, np.float64, np.int8, np.int64]),
    st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=2),
    st.integers(-100, 99),
    st.integers(1, 27),
)
def test_no_finite_action_leaves_the_space(dtype: Any, action: list[float], low: int, width: int) -> None:
    space = spaces.Box(low, low + width, (2,), dtype)
    told, clipped = act(space, [action])
    assert space.contains(told[0])
    outside = any(not low <= a <= low + width for a in action)
    assert (clipped is not None and clipped[0]) == outside
    alone, also_outside = Interface(SEE, space).row_actor()(np.array(action))
    assert (alone.dtype, alone.tolist(), also_outside) == (told.dtype, told[0].tolist(), outside)


@pytest.mark.parametrize(
    ("space", "choices", "size"),
    [
        (spaces.Discrete(4), (4,), 1),
        (spaces.MultiDiscrete([2, 3, 4]), (2, 3, 4), 3),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), (2, 3, 4, 5), 4),
        (spaces.Box(-1.0, 1.0, (3,)), (), 3),
        (spaces.Box(-1.0, 1.0, (2, 3)), (), 6),
        (spaces.Box(-1.0, 1.0, ()), (), 1),
    ],
)
def test_an_action_space_has_so_many_alternatives_and_numbers(
    space: spaces.Space[Any], choices: tuple[int, ...], size: int
) -> None:
    interface = Interface(SEE, space)
    assert (interface.choices, interface.action_size) == (choices, size)


@pytest.mark.parametrize(
    ("space", "size", "one_hot"),
    [
        (spaces.Discrete(5, start=2), 5, True),
        (spaces.MultiDiscrete([2, 3]), 5, False),
        (spaces.MultiBinary((2, 2)), 4, False),
        (spaces.Box(-1.0, 1.0, (3,)), 3, False),
        (spaces.Box(0, 255, (2, 4, 3), np.uint8), 24, False),
        (spaces.Dict({"b": SEE, "a": spaces.Discrete(3), "c": spaces.Tuple((SEE, SEE))}), 9, False),
    ],
)
def test_an_observation_becomes_the_vector_that_gymnasium_makes_of_it(
    space: spaces.Space[Any], size: int, one_hot: bool
) -> None:
    interface = Interface(space, spaces.Discrete(2))
    assert (interface.obs_size, interface.one_hot) == (size, one_hot)
    space.seed(1)
    for _ in range(5):
        obs = space.sample()
        flatten = interface.observer()
        seen = np.asarray(obs if flatten is None else flatten(obs))
        assert seen.shape == (size,)
        assert seen.tolist() == np.asarray(spaces.flatten(space, obs)).tolist()


@pytest.mark.parametrize(
    ("see", "do", "message"),
    [
        (
            spaces.Graph(SEE, None),
            SEE,
            r"observation space: expected one that Gymnasium can flatten .* got Graph",
        ),
        (spaces.Sequence(SEE), SEE, r"observation space: .* got Sequence"),
        (spaces.Dict({"a": spaces.Sequence(SEE)}), SEE, r"observation space: .* got Dict"),
        (
            SEE,
            spaces.Sequence(SEE),
            r"action space: expected Discrete, MultiDiscrete, MultiBinary or Box, got Sequence",
        ),
        (SEE, spaces.Text(4), r"action space: expected .* got Text.*; wrap the environment with"),
        (SEE, spaces.Tuple((SEE, SEE)), r"action space: expected .* got Tuple"),
    ],
)
def test_a_space_that_has_no_vector_is_refused_with_what_was_expected(
    see: Any, do: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Interface(see, do)


@pytest.mark.parametrize(("low", "high"), [(np.nan, 1.0), (0.0, np.nan), (2.0, 1.0)])
def test_bounds_that_make_no_sense_are_refused(low: float, high: float) -> None:
    space = spaces.Box(-1.0, 1.0, (2,))
    space.low[1], space.high[1] = low, high  # some versions of Gymnasium refuse them themselves, some do not
    with pytest.raises(ValueError, match="action space: expected bounds low <= high, got Box"):
        Interface(SEE, space)


@pytest.mark.parametrize(
    ("see", "do"), [(spaces.Box(-1.0, 1.0, (0,)), SEE), (SEE, spaces.Box(-1.0, 1.0, (0,)))]
)
def test_nothing_to_see_or_do_is_refused(see: Any, do: Any) -> None:
    with pytest.raises(ValueError, match="expected at least one observation and one action number, got none"):
        Interface(see, do)


def test_the_policy_of_a_space_has_one_output_per_alternative_or_number() -> None:
    assert make_policy("linear", Interface(SEE, spaces.MultiDiscrete([2, 3]))) == Softmax(
        Linear(2, 5), (2, 3)
    )
    assert make_policy("mlp:4", Interface(SEE, spaces.Box(-1.0, 1.0, (2, 2)))) == Gaussian(MLP(2, 4, (4,)))
    tabular = make_policy("tabular", Interface(spaces.Discrete(7), spaces.Discrete(3)))
    assert tabular == Softmax(Linear(7, 3, bias=False), (3,))


def test_a_factory_limits_the_steps_of_an_episode_and_only_if_asked() -> None:
    def length(env: gym.Env[Any, Any]) -> tuple[int, bool]:
        env.reset(seed=0)
        for step in range(1, 10_000):
            _, _, terminated, truncated, _ = env.step(np.zeros(1, np.float32))
            if terminated or truncated:
                return step, truncated
        raise AssertionError("the episode does not end")

    assert length(make_factory("Pendulum-v1")()) == (200, True)
    assert length(make_factory("Pendulum-v1", 7)()) == (7, True)
    one, two = make_factory("Pendulum-v1")(), make_factory("Pendulum-v1")()
    assert one is not two


def test_an_id_with_a_module_imports_it() -> None:
    assert find_spec("counting_env:OneNumber-v0").id == "OneNumber-v0"
    with pytest.raises(ValueError, match=r"cannot import no_such_module: .*install it"):
        find_spec("no_such_module:CartPole-v1")
    with pytest.raises(gym.error.NameNotFound):
        find_spec("NoSuchEnvironment-v1")
