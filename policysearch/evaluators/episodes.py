"""Episodes of any Gymnasium environment, many at a time in lockstep.

One episode per environment copy: the policy acts on a batch with one row per running episode, then every
copy takes one step. When an episode ends, its copy takes the next pending episode; nothing is stepped after
its end, and nothing is auto-reset. Since a policy computes each row by itself and every episode draws from
its own streams, the numbers do not depend on how many copies there are. A policy that has a kernel acts by
it, as in compiled rollouts.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from policysearch.core import (
    Array,
    Failure,
    Moments,
    Policy,
    PolicyKernel,
    Proposal,
    Rollout,
    StochasticPolicy,
)
from policysearch.evaluators.interface import COMPLEX, Interface
from policysearch.evaluators.runner import Divisible
from policysearch.evaluators.shared import (
    Deploy,
    Outcome,
    action_stream,
    check_deploy,
    check_fit,
    check_proposal,
    describe_error,
    episode_seed,
)
from policysearch.seeding import Key

PLAIN = {float, np.float64, np.float32}  # types of ordinary rewards
NOISE_BLOCK = 64  # steps of action noise drawn at a time; the numbers do not depend on it


class EpisodeEvaluator(Divisible):
    """Runs a policy in copies of a Gymnasium environment.

    Args:
        make: builds one environment copy.
        policy: maps flat observations to actions; see `Interface` for their sizes.
        deploy: whether candidates run the policy's mode or draw from it. A proposal may ask for draws.
        common_random_numbers: whether episode j has the same seed for every candidate.
        max_copies: the most environment copies to hold.

    Raises:
        ValueError: if the policy does not fit the environment's spaces, or for an option that is not one.
    """

    description = "rollouts by the environment's step"
    interface: Interface

    def __init__(
        self,
        make: Callable[[], Any],
        policy: Policy,
        *,
        deploy: Deploy = "mode",
        common_random_numbers: bool = True,
        max_copies: int = 64,
    ) -> None:
        check_deploy(deploy)
        if max_copies < 1:
            raise ValueError(f"max_copies: expected at least 1, got {max_copies}")
        self.policy, self.deploy = policy, deploy
        self.common_random_numbers, self.max_copies = common_random_numbers, max_copies
        self._make = make
        self._copies: list[Any] = [make()]
        self.interface = Interface(self._copies[0].observation_space, self._copies[0].action_space)
        self.observe, self.to_env = self.interface.observer(), self.interface.actor()
        self.row_to_env = self.interface.row_actor()
        check_fit(policy, self.interface, self.begin(0, seed=0))

    def __reduce__(self) -> Any:
        """Another process builds it anew."""
        options: dict[str, Any] = {
            "deploy": self.deploy,
            "common_random_numbers": self.common_random_numbers,
            "max_copies": self.max_copies,
        }
        return functools.partial(EpisodeEvaluator, **options), (self._make, self.policy)

    def compile(self) -> int:
        """Compile the policy's kernel, if any; returns 1 if it was neither in memory nor on disk, else 0."""
        kernel: Any = getattr(self.policy, "kernel", None)
        if kernel is None or kernel.act_on_rows.signatures:
            return 0
        sizes = (self.policy.num_params, self.interface.obs_size, self.policy.state_size, 0)
        scratch, actions = np.empty(kernel.scratch_size), np.empty((1, self.interface.action_size))
        rows = [np.zeros((1, size)) for size in sizes]
        kernel.act_on_rows(*rows, scratch, actions)
        kernel.act(*(row[0] for row in rows), scratch, actions[0])
        return int(not kernel.act_on_rows.stats.cache_hits)

    def close(self) -> None:
        """Close all environment copies."""
        for slot in range(len(self._copies)):
            self.discard(slot)

    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that the policy cannot run."""
        check_proposal(proposal, self.policy, self.deploy)

    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[tuple[int, int]]) -> Iterable[Outcome]:
        """What comes of these (candidate, episode) pairs of a proposal; it does not depend on the others."""
        if min(len(pairs), self.max_copies) > 1:
            return _Lockstep(self, proposal, key, pairs).run()
        return [_run_alone(self, proposal, key, pair) for pair in pairs]

    def begin(self, slot: int, seed: int) -> Float[Array, "o"]:
        """Reset the environment copy of a slot; returns its first observation."""
        seen = self.copy(slot).reset(seed=seed)[0]
        seen = seen if self.observe is None else self.observe(seen)
        return _of_shape(np.array(seen, dtype=float), (self.interface.obs_size,))

    def copy(self, slot: int) -> Any:
        """The environment copy of a slot, built when needed."""
        self._copies += [None] * (slot + 1 - len(self._copies))
        if self._copies[slot] is None:
            self._copies[slot] = self._make()
        return self._copies[slot]

    def discard(self, slot: int) -> None:
        """Close a copy, for example one that raised: its state cannot be trusted."""
        env = self._copies[slot] if slot < len(self._copies) else None
        if env is not None:
            self._copies[slot] = None
            with contextlib.suppress(Exception):
                env.close()


@dataclass(eq=False)
class _Episode:
    """A running episode, and its record if one is kept."""

    candidate: int
    index: int
    seed: int
    slot: int  # of its environment copy
    rng: np.random.Generator | None  # of its action noise, if actions are drawn
    obs: list[Array] = field(default_factory=list)
    actions: list[Array] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)


class _Lockstep:
    """One evaluation. Every array has one row per running episode, in the order of `self.episodes`."""

    def __init__(
        self, owner: EpisodeEvaluator, proposal: Proposal, key: Key, pairs: Sequence[tuple[int, int]]
    ) -> None:
        self.owner, self.proposal, self.key = owner, proposal, key
        self.sampling = proposal.sample or owner.deploy == "sample"
        self.act = _actor(owner.policy, owner.interface.action_size, sampling=self.sampling)
        self.outcomes: list[Outcome] = []
        self.pending = list(pairs)[::-1]
        rows, size = min(len(pairs), owner.max_copies), owner.interface.obs_size
        self.episodes: list[_Episode | None] = [None] * rows
        self.env_steps: list[Any] = [None] * rows  # the step method of each row's environment copy
        self.params = np.empty((rows, proposal.params.shape[1]))
        self.obs = np.empty((rows, size))
        self.state = np.zeros((rows, owner.policy.state_size))
        self.total, self.length = np.zeros(rows), np.zeros(rows, dtype=int)
        self.clipped = np.zeros(rows, dtype=int)
        watched = size if proposal.moments else 0
        self.mean, self.M2 = np.zeros((rows, watched)), np.zeros((rows, watched))
        self.noise: Array | None = None  # a block per row, and for how many steps it has been drawn
        self.drawn = np.zeros(rows, dtype=int)

    def run(self) -> list[Outcome]:
        for row in range(len(self.episodes)):
            self._admit(row, slot=row)
        self._drop_idle_rows()
        while self.episodes:
            self._step()
        return self.outcomes

    def _admit(self, row: int, slot: int) -> None:
        """Start the next pending episode in this row, if there is one that resets."""
        while self.pending:
            i, j = self.pending.pop()
            seed = episode_seed(self.key, i, j, common=self.owner.common_random_numbers)
            rng = action_stream(self.key, i, j) if self.sampling else None
            episode = _Episode(i, j, seed, slot, rng)
            try:
                obs = self.owner.begin(slot, seed)
            except Exception as error:  # the user's code may raise anything
                self.outcomes.append(_failed(episode, describe_error("reset: ", error)))
                self.owner.discard(slot)
                continue
            self.episodes[row], self.env_steps[row] = episode, self.owner.copy(slot).step
            self.params[row], self.obs[row] = self.proposal.params[i], obs
            self.state[row], self.total[row], self.length[row], self.drawn[row] = 0.0, 0.0, 0, 0
            self.clipped[row], self.mean[row], self.M2[row] = 0, 0.0, 0.0
            return

    def _drop_idle_rows(self) -> None:
        keep = [row for row, episode in enumerate(self.episodes) if episode is not None]
        if len(keep) == len(self.episodes):
            return
        self.episodes = [self.episodes[row] for row in keep]
        self.env_steps = [self.env_steps[row] for row in keep]
        for name in ("params", "obs", "state", "total", "length", "clipped", "mean", "M2", "drawn"):
            setattr(self, name, getattr(self, name)[keep])
        self.noise = None if self.noise is None else self.noise[keep]

    def _noise_now(self) -> Array:
        """The noise of this step's actions: no numbers where the mode is taken."""
        if not self.sampling:
            return np.empty((len(self.episodes), 0))
        for row in np.flatnonzero(self.drawn == self.length).tolist():
            policy, rng = cast(StochasticPolicy, self.owner.policy), self._running(row).rng
            block = policy.noise(cast(np.random.Generator, rng), NOISE_BLOCK)
            if self.noise is None:
                self.noise = np.empty((len(self.episodes), *block.shape))
            self.noise[row] = block
            self.drawn[row] += NOISE_BLOCK
        assert self.noise is not None  # noqa: S101 - every row drew its block at its first step
        return self.noise[np.arange(len(self.episodes)), self.length % NOISE_BLOCK]

    def _step(self) -> None:
        """One step of every running episode."""
        actions = self.act(self.params, self.obs, self.state, self._noise_now())
        reasons: dict[int, str] = {}  # rows that fail now, and why
        if not np.isfinite(actions).all():
            for row in np.flatnonzero(~np.isfinite(actions).all(axis=1)).tolist():
                what = "action" if np.isfinite(self.obs[row]).all() else "observation"
                reasons[row] = f"the {what} is not finite at step {self.length[row]}"
            self._end(reasons, {})
            return
        if self.proposal.moments:
            delta = self.obs - self.mean  # Welford 1962
            self.mean += delta / (self.length + 1)[:, None]
            self.M2 += delta * (self.obs - self.mean)
        if self.proposal.record:
            for row, episode in enumerate(cast(list[_Episode], self.episodes)):
                episode.obs.append(self.obs[row].copy())
                episode.actions.append(actions[row].copy())
        env_actions, outside = self.owner.to_env(actions)
        if outside is not None:
            self.clipped += outside
        rewards, ended = self._step_environments(env_actions, reasons)
        with np.errstate(over="ignore", invalid="ignore"):
            self.total += rewards
            suspicious = not math.isfinite(rewards.sum())  # almost always a reward that is not finite
        self.length += 1
        if suspicious:
            for row in np.flatnonzero(~np.isfinite(rewards)).tolist():
                reasons.setdefault(row, f"the reward is {rewards[row]} at step {self.length[row] - 1}")
        if self.proposal.record:
            for episode, reward in zip(cast(list[_Episode], self.episodes), rewards.tolist(), strict=True):
                episode.rewards.append(reward)
        if ended or reasons:
            self._end(reasons, ended)

    def _step_environments(
        self, actions: Any, reasons: dict[int, str]
    ) -> tuple[Array, dict[int, tuple[bool, bool]]]:
        """The rewards, and which episodes ended how; failures go to `reasons`. This loop has to be fast."""
        rewards: list[Any] = [0.0] * len(actions)
        ended: dict[int, tuple[bool, bool]] = {}
        obs, observe, shape = self.obs, self.owner.observe, self.obs.shape[1:]
        for row, step in enumerate(self.env_steps):
            try:
                seen, rewards[row], terminated, truncated, _ = step(actions[row])
                if observe is not None:
                    seen = observe(seen)
                if type(seen) is not np.ndarray or seen.shape != shape:
                    seen = _of_shape(seen, shape)
                obs[row] = seen
                if terminated or truncated:
                    ended[row] = (bool(terminated), bool(truncated))
            except Exception as error:  # the user's code may raise anything
                reasons[row], rewards[row] = describe_error("step: ", error), 0.0
                self.owner.discard(self._running(row).slot)
        return self._real(rewards, reasons), ended

    def _real(self, rewards: list[Any], reasons: dict[int, str]) -> Array:
        """The rewards as numbers; one that is none fails its row."""
        if PLAIN.issuperset(map(type, rewards)):
            return np.array(rewards, dtype=float)
        for row, reward in enumerate(rewards):
            try:
                rewards[row] = _real_number(reward)
            except Exception as error:  # the user's objects may raise anything
                reasons[row], rewards[row] = describe_error("step: ", error), 0.0
                self.owner.discard(self._running(row).slot)
        return np.array(rewards)

    def _end(self, reasons: dict[int, str], ended: dict[int, tuple[bool, bool]]) -> None:
        """Book the episodes of these rows and give the rows to pending ones."""
        for row in sorted(reasons.keys() | ended.keys()):
            episode, counts = self._running(row), (int(self.length[row]), int(self.clipped[row]))
            if row not in reasons and not np.isfinite(self.total[row]):
                reasons[row] = f"the return is {self.total[row]}"
            if row in reasons:
                self.outcomes.append(_failed(episode, reasons[row], *counts))
            else:
                self.outcomes.append(self._done(episode, row, counts, *ended[row]))
            self.episodes[row] = None
            self._admit(row, episode.slot)
        self._drop_idle_rows()

    def _done(
        self, episode: _Episode, row: int, counts: tuple[int, int], terminated: bool, truncated: bool
    ) -> Outcome:
        """The outcome of an episode that ended well, with its record."""
        i, rollout, moments = episode.candidate, None, None
        if self.proposal.moments:
            moments = Moments(counts[0], self.mean[row].copy(), self.M2[row].copy())
        if self.proposal.record:
            rollout = Rollout(
                cast(StochasticPolicy, self.owner.policy),
                self.proposal.params[i],
                np.array(episode.obs),
                np.array(episode.actions),
                np.array(episode.rewards),
                self.obs[row].copy(),
                terminated,
                truncated,
            )
        ret = float(self.total[row])
        return Outcome(i, episode.index, ret, *counts, rollout=rollout, moments=moments)

    def _running(self, row: int) -> _Episode:
        return cast(_Episode, self.episodes[row])


def _run_alone(owner: EpisodeEvaluator, proposal: Proposal, key: Key, pair: tuple[int, int]) -> Outcome:
    """One episode by itself: what `_Lockstep` does, without the overhead of arrays with one row."""
    i, j = pair
    sampling = proposal.sample or owner.deploy == "sample"
    rng = action_stream(key, i, j) if sampling else None
    episode = _Episode(i, j, episode_seed(key, i, j, common=owner.common_random_numbers), 0, rng)
    try:
        obs = owner.begin(0, episode.seed)
    except Exception as error:  # the user's code may raise anything
        owner.discard(0)
        return _failed(episode, describe_error("reset: ", error))
    act = _row_actor(owner.policy, owner.interface.action_size, sampling=sampling)
    params, state = proposal.params[i], np.zeros(owner.policy.state_size)
    observe, to_env, step = owner.observe, owner.row_to_env, owner.copy(0).step
    mean, M2 = np.zeros(obs.size), np.zeros(obs.size)
    noise, total, length, clipped = np.empty((NOISE_BLOCK, 0)), 0.0, 0, 0
    terminated = truncated = False
    while not (terminated or truncated):
        if sampling and length % NOISE_BLOCK == 0:
            noise = cast(StochasticPolicy, owner.policy).noise(cast(np.random.Generator, rng), NOISE_BLOCK)
        action = act(params, obs, state, noise[length % NOISE_BLOCK])
        if not all(map(math.isfinite, action.tolist())):
            what = "action" if np.isfinite(obs).all() else "observation"
            return _failed(episode, f"the {what} is not finite at step {length}", length, clipped)
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
                seen if type(seen) is np.ndarray and seen.shape == obs.shape else _of_shape(seen, obs.shape)
            )
            reward = _real_number(reward)
        except Exception as error:  # the user's code may raise anything
            owner.discard(0)
            return _failed(episode, describe_error("step: ", error), length, clipped)
        if not math.isfinite(reward):
            return _failed(episode, f"the reward is {reward} at step {length - 1}", length, clipped)
        total += reward
        episode.rewards.append(reward)
    if not math.isfinite(total):
        return _failed(episode, f"the return is {total}", length, clipped)
    rollout = None
    if proposal.record:
        record = (np.array(episode.obs), np.array(episode.actions), np.array(episode.rewards), obs)
        rollout = Rollout(
            cast(StochasticPolicy, owner.policy), params, *record, bool(terminated), bool(truncated)
        )
    moments = Moments(length, mean, M2) if proposal.moments else None
    return Outcome(i, j, total, length, clipped, rollout=rollout, moments=moments)


def _row_actor(
    policy: Policy, action_size: int, *, sampling: bool
) -> Callable[[Array, Array, Array, Array], Array]:
    """As `_actor`, for a single row."""
    kernel: PolicyKernel | None = getattr(policy, "kernel", None)
    if kernel is not None:
        scratch, action, act_kernel = np.empty(kernel.scratch_size), np.empty(action_size), kernel.act

        def act_compiled(params: Array, obs: Array, state: Array, noise: Array) -> Array:
            act_kernel(params, obs, state, noise, scratch, action)
            return action

        return act_compiled
    batch = _actor(policy, action_size, sampling=sampling)
    return lambda params, obs, state, noise: batch(params[None], obs[None], state[None], noise[None])[0]


def _actor(
    policy: Policy, action_size: int, *, sampling: bool
) -> Callable[[Array, Array, Array, Array], Array]:
    """(params, obs, state, noise) → actions, the state updated in place, by the kernel if there is one."""
    kernel = getattr(policy, "kernel", None)
    if kernel is not None:
        scratch = np.empty(kernel.scratch_size)

        def act_compiled(params: Array, obs: Array, state: Array, noise: Array) -> Array:
            actions = np.empty((len(obs), action_size))
            kernel.act_on_rows(params, obs, state, noise, scratch, actions)
            return actions

        return act_compiled

    def act(params: Array, obs: Array, state: Array, noise: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows fails as not finite
            if sampling:
                actions, after = cast(StochasticPolicy, policy).sample(params, obs, state, noise)
            else:
                actions, after = policy.act(params, obs, state)
        state[:] = after
        return actions

    return act


def _real_number(reward: Any) -> float:
    if isinstance(reward, (*COMPLEX, str)):
        raise TypeError(f"expected a real number as reward, got {reward!r}")
    return float(reward)


def _of_shape(seen: Any, shape: tuple[int, ...]) -> Array:
    """The observation as an array of this shape."""
    seen = np.asarray(seen)
    if seen.shape != shape:
        raise ValueError(f"expected an observation of shape {shape}, got {seen.shape}")
    return seen


def _failed(episode: _Episode, reason: str, steps: int = 0, clipped: int = 0) -> Outcome:
    line, _, traceback = reason.partition("\n")
    failure = Failure(episode.candidate, episode.index, episode.seed, line, traceback)
    return Outcome(episode.candidate, episode.index, np.nan, steps, clipped, failure)
