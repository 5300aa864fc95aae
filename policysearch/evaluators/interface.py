"""What a policy needs to know of an environment: flat observations in, actions of the right form out."""

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from jaxtyping import Bool, Float

from policysearch.core import Array
from policysearch.evaluators.wrappers import Wrapping, wrapped
from policysearch.registry import import_module, load_environments
from policysearch.simulators.mujoco_log import divert_warnings

#: Numbers that convert to a float with only a warning, losing their imaginary part.
COMPLEX = (complex, np.complexfloating)


@dataclass(frozen=True)
class Interface:
    """The translation between one environment's spaces and a policy's vectors.

    Raises:
        ValueError: for a space that cannot be flattened, or actions that are neither Discrete,
            MultiDiscrete, MultiBinary nor Box.
    """

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    def __post_init__(self) -> None:
        if not _flattens(self.observation_space):
            raise ValueError(
                "observation space: expected one that Gymnasium can flatten to a vector, "
                f"got {self.observation_space}; {_otherwise_observed(self.observation_space)}"
            )
        supported = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Box)
        if not isinstance(self.action_space, supported):
            raise ValueError(
                f"action space: expected Discrete, MultiDiscrete, MultiBinary or Box, got {self.action_space}; "
                f"{_otherwise_acted(self.action_space)}"
            )
        if isinstance(self.action_space, spaces.Box):
            low, high = self.action_space.low, self.action_space.high
            if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
                raise ValueError(f"action space: expected bounds low <= high, got {self.action_space}")
        if self.obs_size == 0 or self.action_size == 0:
            raise ValueError("spaces: expected at least one observation and one action number, got none")

    @functools.cached_property
    def obs_size(self) -> int:
        """o: the length of a flattened observation."""
        return int(spaces.flatdim(self.observation_space))

    @property
    def one_hot(self) -> bool:
        """Whether an observation is one of finitely many, seen by the policy as a one-hot vector."""
        return isinstance(self.observation_space, spaces.Discrete)

    @functools.cached_property
    def choices(self) -> tuple[int, ...]:
        """The number of alternatives of each discrete action; empty for continuous actions."""
        if isinstance(self.action_space, spaces.Discrete):
            return (int(self.action_space.n),)
        if isinstance(self.action_space, spaces.MultiDiscrete):
            return tuple(int(n) for n in self.action_space.nvec.ravel())
        if isinstance(self.action_space, spaces.MultiBinary):
            return (2,) * int(np.prod(self.action_space.shape))
        return ()

    @functools.cached_property
    def action_size(self) -> int:
        """a: numbers per action."""
        return len(self.choices) or int(np.prod(self.action_space.shape or (1,)))

    def observer(self) -> Callable[[Any], Any] | None:
        """A function from the environment's observation to a flat vector; none where it is one already."""
        space = self.observation_space
        if isinstance(space, spaces.Box):
            return None if len(space.shape) == 1 else np.ravel
        return functools.partial(_flat, space)

    def actor(self) -> Callable[[Float[Array, "m a"]], tuple[Any, Bool[Array, "m"] | None]]:
        """A function from a batch of actions to the environments' actions, and which were clipped, if any."""
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            start = int(space.start)
            return lambda actions: ((actions[:, 0].astype(np.int64) + start).tolist(), None)
        if isinstance(space, spaces.MultiDiscrete):
            first, shape, dtype = space.start.ravel(), space.shape, space.dtype
            return lambda actions: ((actions + first).astype(dtype).reshape(-1, *shape), None)
        if isinstance(space, spaces.MultiBinary):
            bits, bit = space.shape, space.dtype
            return lambda actions: (actions.astype(bit).reshape(-1, *bits), None)
        assert isinstance(space, spaces.Box)  # noqa: S101 - checked at construction
        low, high = space.low.ravel().astype(float), space.high.ravel().astype(float)
        box_shape, box_dtype = space.shape, space.dtype
        whole = np.issubdtype(box_dtype, np.integer)

        def clip(actions: Float[Array, "m a"]) -> tuple[Any, Bool[Array, "m"] | None]:
            clipped = np.minimum(np.maximum(actions, low), high)
            changed = clipped != actions
            outside = changed.any(axis=1) if changed.any() else None
            clipped = np.rint(clipped) if whole else clipped
            return clipped.astype(box_dtype).reshape(-1, *box_shape), outside

        return clip

    def row_actor(self) -> Callable[[Float[Array, "a"]], tuple[Any, bool]]:
        """The same for a single action, without the overhead of a batch."""
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            start = int(space.start)
            return lambda action: (int(action[0]) + start, False)
        if not isinstance(space, spaces.Box) or np.issubdtype(space.dtype, np.integer):
            batch = self.actor()

            def act(action: Float[Array, "a"]) -> tuple[Any, bool]:
                actions, outside = batch(action[None])
                return actions[0], outside is not None and bool(outside[0])

            return act
        low, high = space.low.ravel().astype(float).tolist(), space.high.ravel().astype(float).tolist()
        shape, dtype = space.shape, space.dtype

        def clip(action: Float[Array, "a"]) -> tuple[Any, bool]:
            numbers = action.tolist()
            clipped = [min(max(x, lo), hi) for x, lo, hi in zip(numbers, low, high, strict=True)]
            return np.array(clipped, dtype=dtype).reshape(shape), clipped != numbers

        return clip


def _flat(space: spaces.Space[Any], obs: Any) -> Any:
    """What `spaces.flatten` gives of an observation.

    Raises:
        ValueError: for numbers outside the space that it would take for others, without a word: a choice below the
            first for the last one, or for one of another part; a fraction for a whole number.
    """
    _check_numbers(space, obs)
    return spaces.flatten(space, obs)


def _check_numbers(space: spaces.Space[Any], obs: Any) -> None:
    match space:
        case spaces.Dict():
            for name, part in space.items():
                _check_numbers(part, obs[name])
            return
        case spaces.Tuple():
            for part, seen in zip(space.spaces, obs, strict=True):
                _check_numbers(part, seen)
            return
        case spaces.Discrete():
            fits = 0 <= obs - space.start < space.n
        case spaces.MultiDiscrete():
            chosen = np.subtract(obs, space.start)
            fits = bool(((chosen >= 0) & (chosen < space.nvec)).all())
        case spaces.Box() if np.issubdtype(space.dtype, np.integer):
            numbers = np.asarray(obs)
            fits = bool((numbers == numbers.astype(space.dtype)).all())
        case _:
            return
    if not fits:
        raise ValueError(f"expected an observation of {space}, got {obs!r}")


def _flattens(space: spaces.Space[Any]) -> bool:
    """Whether Gymnasium can flatten it to a vector of a fixed length."""
    try:
        return space.is_np_flattenable and spaces.flatdim(space) >= 0
    except NotImplementedError:  # as for a space of its own kind
        return False


def _otherwise_observed(space: spaces.Space[Any]) -> str:
    """What to do about observations that cannot be flattened."""
    kept = [name for name, part in space.items() if _flattens(part)] if isinstance(space, spaces.Dict) else []
    if kept:
        return f"keep the rest: gymnasium.wrappers.FilterObservation(env, {kept}), registered under an id of its own"
    return "turn them into numbers with gymnasium.wrappers.TransformObservation"


def _otherwise_acted(space: spaces.Space[Any]) -> str:
    """What to do about actions that no policy gives."""
    parts = space.values() if isinstance(space, spaces.Dict) else getattr(space, "spaces", [])
    function, given = "FUNCTION", "SPACE"
    if parts and all(isinstance(part, spaces.Box) for part in parts):
        function = "lambda action: gymnasium.spaces.unflatten(env.action_space, action)"
        given = "gymnasium.spaces.flatten_space(env.action_space)"
    return (
        f"wrap the environment with gymnasium.wrappers.TransformAction(env, {function}, {given}), "
        "registered under an id of its own"
    )


def find_spec(env_id: str) -> EnvSpec:
    """Gymnasium's specification of `env_id`, after importing the module of a `module:EnvId`.

    Raises:
        ValueError: if the module cannot be imported.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        import_module(module)
    if name not in gym.registry:
        load_environments()  # one of which may be it
    return gym.spec(name)


def make_factory(
    env_id: str,
    max_episode_steps: int | None = None,
    arguments: Mapping[str, Any] = {},
    wrappers: Sequence[Wrapping] = (),
) -> Callable[[], gym.Env[Any, Any]]:
    """A function that builds `env_id`, with arguments of its constructor and wrappers, without per-step checks.

    `module:EnvId` imports the module first, as in `gymnasium.make`.
    """
    return functools.partial(_make, env_id, max_episode_steps, dict(arguments), tuple(wrappers))


def _make(
    env_id: str, max_episode_steps: int | None, arguments: dict[str, Any], wrappers: Sequence[Wrapping]
) -> gym.Env[Any, Any]:
    if "mujoco" in str(find_spec(env_id).entry_point) and importlib.util.find_spec("mujoco"):
        divert_warnings()  # building a model may warn
    limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
    return wrapped(gym.make(env_id, disable_env_checker=True, **limit, **arguments), wrappers)
