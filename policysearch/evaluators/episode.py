"""One episode: its environment copy, the policy's actions, what comes of it, and the loop that runs it by itself."""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Moments, Policy, Proposal, Rollout, StochasticPolicy, kernel_of
from policysearch.evaluators.interface import COMPLEX, Interface
from policysearch.evaluators.runner import (
    Outcome,
    Pair,
    action_stream,
    closed_on_failure,
    describe_error,
    episode_seed,
)
from policysearch.seeding import Key

#: (params, obs, state, noise) → actions; the state is updated in place.
Actor = Callable[[Array, Array, Array, Array], Array]

NOISE_BLOCK = 64  # steps of action noise drawn at a time; the numbers do not depend on it


class Copies:
    """Copies of the environment that `make` builds, each in a slot, and the translation of their spaces."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self._envs: list[Any] = [make()]
        with closed_on_failure(self):
            self.interface = Interface(self._envs[0].observation_space, self._envs[0].action_space)
        self.observe, self.to_env = self.interface.observer(), self.interface.actor()
        self.row_to_env = self.interface.row_actor()

    def begin(self, slot: int, seed: int) -> Float[Array, "o"]:
        """Reset the environment copy of a slot, built when needed; returns its first observation."""
        self._envs += [None] * (slot + 1 - len(self._envs))
        if self._envs[slot] is None:
            self._envs[slot] = self.make()
        return first_observation(self._envs[slot].reset(seed=seed), self.interface, self.observe)

    def step(self, slot: int) -> Any:
        """The `step` of the environment copy of a slot."""
        return self._envs[slot].step

    def discard(self, slot: int) -> None:
        """Close a copy, for example one that raised: its state cannot be trusted."""
        env, self._envs[slot] = self._envs[slot], None
        if env is not None:
            with contextlib.suppress(Exception):
                env.close()

    def close(self) -> None:
        """Close all copies."""
        for slot in range(len(self._envs)):
            self.discard(slot)


@dataclass(eq=False)
class Episode:
    """A running episode, and its record if one is kept."""

    candidate: int
    index: int
    seed: int
    slot: int  # of its environment copy
    first_obs: Array
    rng: np.random.Generator | None  # of its action noise, if actions are drawn
    obs: list[Array] = field(default_factory=list)
    actions: list[Array] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    def failed(self, reason: str, steps: int, clipped: int) -> Outcome:
        """The outcome of an episode that has no return."""
        return Outcome.failed(
            self.candidate, self.index, self.seed, reason, steps=steps, clipped_steps=clipped
        )


@dataclass(frozen=True, eq=False)
class Setting:
    """What the episodes of an evaluation have in common."""

    copies: Copies
    policy: Policy
    proposal: Proposal
    key: Key
    sampling: bool  # whether actions are drawn
    common_random_numbers: bool

    def begin(self, i: int, j: int, slot: int) -> Episode | Outcome:
        """Episode j of candidate i in the environment copy of a slot, or its outcome if that does not reset."""
        seed = episode_seed(self.key, i, j, common=self.common_random_numbers)
        try:
            obs = self.copies.begin(slot, seed)
        except Exception as error:  # the user's code may raise anything
            return Outcome.failed(i, j, seed, self.broken(slot, "reset", error))
        return Episode(i, j, seed, slot, obs, action_stream(self.key, i, j) if self.sampling else None)

    def broken(self, slot: int, where: str, error: Exception) -> str:
        """Why an episode fails whose environment copy raised; the copy is discarded."""
        self.copies.discard(slot)
        return describe_error(f"{where}: ", error)

    def noise(self, episode: Episode) -> Array:
        """The next NOISE_BLOCK steps of action noise of an episode."""
        return cast(StochasticPolicy, self.policy).noise(cast(np.random.Generator, episode.rng), NOISE_BLOCK)

    def actor(self) -> Actor:
        """The policy's actions for a batch of rows, by its kernel if it has one."""
        policy, kernel = self.policy, kernel_of(self.policy)
        if kernel is not None:
            scratch, size = np.empty(kernel.scratch_size), self.copies.interface.action_size

            def act_compiled(params: Array, obs: Array, state: Array, noise: Array) -> Array:
                actions = np.empty((len(obs), size))
                kernel.act_on_rows(params, obs, state, noise, scratch, actions)
                return actions

            return act_compiled

        def act(params: Array, obs: Array, state: Array, noise: Array) -> Array:
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows fails as not finite
                if self.sampling:
                    actions, after = cast(StochasticPolicy, policy).sample(params, obs, state, noise)
                else:
                    actions, after = policy.act(params, obs, state)
            state[:] = after
            return actions

        return act

    def row_actor(self) -> Actor:
        """As `actor`, for a single row; the next call overwrites the action."""
        kernel, batch = kernel_of(self.policy), self.actor()
        if kernel is None:
            return lambda params, *rows: batch(params[None], *(row[None] for row in rows))[0]
        scratch, action = np.empty(kernel.scratch_size), np.empty(self.copies.interface.action_size)

        def act_compiled(params: Array, obs: Array, state: Array, noise: Array) -> Array:
            kernel.act(params, obs, state, noise, scratch, action)
            return action

        return act_compiled

    def rollout(
        self, episode: Episode, final_obs: Array, terminated: bool, truncated: bool
    ) -> Rollout | None:
        """The record of an episode that has ended, if the proposal asks for it."""
        if not self.proposal.record:
            return None
        return Rollout(
            cast(StochasticPolicy, self.policy),
            self.proposal.params[episode.candidate],
            np.array(episode.obs),
            np.array(episode.actions),
            np.array(episode.rewards),
            final_obs.copy(),
            terminated,
            truncated,
        )


def run_single(setting: Setting, pair: Pair) -> Outcome:
    """What comes of one episode: what `Lockstep` does, without the overhead of arrays with one row."""
    copies, proposal, episode = setting.copies, setting.proposal, setting.begin(*pair, 0)
    if isinstance(episode, Outcome):
        return episode
    act, params, noise = setting.row_actor(), proposal.params[pair[0]], np.empty((NOISE_BLOCK, 0))
    obs = episode.first_obs
    state, mean, M2 = map(np.zeros, (setting.policy.state_size, obs.size, obs.size))
    observe, to_env, step = copies.observe, copies.row_to_env, copies.step(0)
    total, length, clipped, terminated, truncated = 0.0, 0, 0, False, False
    while not (terminated or truncated):
        if setting.sampling and length % NOISE_BLOCK == 0:
            noise = setting.noise(episode)
        action = act(params, obs, state, noise[length % NOISE_BLOCK])
        if not all(map(math.isfinite, action.tolist())):
            return episode.failed(not_finite(obs, length), length, clipped)
        if proposal.moments:
            delta = obs - mean  # Welford 1962
            mean += delta / (length + 1)
            M2 += delta * (obs - mean)
        if proposal.record:
            episode.obs.append(obs.copy())
            episode.actions.append(action.copy())
        env_action, outside = to_env(action)
        clipped += outside
        length += 1
        try:
            seen, reward, terminated, truncated, _ = step(env_action)
            seen = seen if observe is None else observe(seen)
            obs[:] = (
                seen if type(seen) is np.ndarray and seen.shape == obs.shape else of_shape(seen, obs.shape)
            )
            reward = real_number(reward)
        except Exception as error:  # the user's code may raise anything
            return episode.failed(setting.broken(0, "step", error), length, clipped)
        if not math.isfinite(reward):
            return episode.failed(f"the reward is {reward} at step {length - 1}", length, clipped)
        total += reward
        episode.rewards.append(reward)
    if not math.isfinite(total):
        return episode.failed(f"the return is {total}", length, clipped)
    moments = Moments(length, mean, M2) if proposal.moments else None
    rollout = setting.rollout(episode, obs, bool(terminated), bool(truncated))
    return Outcome(*pair, total, length, clipped, rollout=rollout, moments=moments)


def not_finite(obs: Array, step: int) -> str:
    """Why an episode fails whose action is not finite at this observation."""
    return f"the {'action' if np.isfinite(obs).all() else 'observation'} is not finite at step {step}"


def real_number(reward: Any) -> float:
    """The reward, which may be an array of one number, as a number.

    Raises:
        TypeError: for what is not a real number.
    """
    number = reward.item() if isinstance(reward, np.ndarray) and reward.size == 1 else reward
    if isinstance(number, (*COMPLEX, str, np.ndarray)):
        raise TypeError(f"expected a real number as reward, got {reward!r}")
    return float(number)


def first_observation(
    out: Any, interface: Interface, observe: Callable[[Any], Any] | None
) -> Float[Array, "o"]:
    """The flat observation in what `reset` returned: next to information, or by itself as before Gym 0.26."""
    has_info = isinstance(out, tuple) and len(out) == 2 and (out[1] is None or isinstance(out[1], Mapping))
    seen = out[0] if has_info else out
    seen = seen if observe is None else observe(seen)
    return of_shape(np.array(seen, dtype=float), (interface.obs_size,))


def of_shape(seen: Any, shape: tuple[int, ...]) -> Array:
    """The observation as an array of this shape, where a single number may have any.

    Raises:
        ValueError: for one of another shape.
    """
    seen = np.asarray(seen)
    if seen.size == 1 == math.prod(shape):
        return seen.reshape(shape)
    if seen.shape != shape:
        raise ValueError(f"expected an observation of shape {shape}, got {seen.shape}")
    return seen
