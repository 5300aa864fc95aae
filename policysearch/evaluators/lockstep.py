"""Many episodes at a time in lockstep: the policy acts on all of them, then every environment copy takes one step."""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from policysearch.core import Array, Moments, Rollout, StochasticPolicy
from policysearch.evaluators.acting import NOISE_BLOCK, actor
from policysearch.evaluators.copies import of_shape, real_number
from policysearch.evaluators.episode import Episode, Setting, failed
from policysearch.evaluators.shared import Outcome, describe_error

PLAIN = {float, np.float64, np.float32}  # types of ordinary rewards


class Lockstep:
    """One evaluation. Every array has one row per running episode, in the order of `self.episodes`."""

    def __init__(self, setting: Setting, pairs: Sequence[tuple[int, int]], max_copies: int) -> None:
        self.setting, self.copies, self.proposal = setting, setting.copies, setting.proposal
        policy, interface = setting.policy, setting.copies.interface
        self.act = actor(policy, interface.action_size, sampling=setting.sampling)
        self.outcomes: list[Outcome] = []
        self.pending = list(pairs)[::-1]
        rows, size = min(len(pairs), max_copies), interface.obs_size
        self.episodes: list[Episode | None] = [None] * rows
        self.env_steps: list[Any] = [None] * rows  # the step method of each row's environment copy
        self.params = np.empty((rows, self.proposal.params.shape[1]))
        self.obs = np.empty((rows, size))
        self.state = np.zeros((rows, policy.state_size))
        self.total, self.length = np.zeros(rows), np.zeros(rows, dtype=int)
        self.clipped = np.zeros(rows, dtype=int)
        watched = size if self.proposal.moments else 0
        self.mean, self.M2 = np.zeros((rows, watched)), np.zeros((rows, watched))
        self.noise: Array | None = None  # a block per row, and for how many steps it has been drawn
        self.drawn = np.zeros(rows, dtype=int)

    def run(self) -> list[Outcome]:
        """What comes of all episodes."""
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
            episode = self.setting.episode(i, j, slot)
            try:
                obs = self.copies.begin(slot, episode.seed)
            except Exception as error:  # the user's code may raise anything
                self.outcomes.append(failed(episode, describe_error("reset: ", error)))
                self.copies.discard(slot)
                continue
            self.episodes[row], self.env_steps[row] = episode, self.copies.copy(slot).step
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
        if not self.setting.sampling:
            return np.empty((len(self.episodes), 0))
        for row in np.flatnonzero(self.drawn == self.length).tolist():
            policy, rng = cast(StochasticPolicy, self.setting.policy), self._running(row).rng
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
            for row, episode in enumerate(cast(list[Episode], self.episodes)):
                episode.obs.append(self.obs[row].copy())
                episode.actions.append(actions[row].copy())
        env_actions, outside = self.copies.to_env(actions)
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
            for episode, reward in zip(cast(list[Episode], self.episodes), rewards.tolist(), strict=True):
                episode.rewards.append(reward)
        if ended or reasons:
            self._end(reasons, ended)

    def _step_environments(
        self, actions: Any, reasons: dict[int, str]
    ) -> tuple[Array, dict[int, tuple[bool, bool]]]:
        """The rewards, and which episodes ended how; failures go to `reasons`. This loop has to be fast."""
        rewards: list[Any] = [0.0] * len(actions)
        ended: dict[int, tuple[bool, bool]] = {}
        obs, observe, shape = self.obs, self.copies.observe, self.obs.shape[1:]
        for row, step in enumerate(self.env_steps):
            try:
                seen, rewards[row], terminated, truncated, _ = step(actions[row])
                if observe is not None:
                    seen = observe(seen)
                if type(seen) is not np.ndarray or seen.shape != shape:
                    seen = of_shape(seen, shape)
                obs[row] = seen
                if terminated or truncated:
                    ended[row] = (bool(terminated), bool(truncated))
            except Exception as error:  # the user's code may raise anything
                reasons[row], rewards[row] = describe_error("step: ", error), 0.0
                self.copies.discard(self._running(row).slot)
        return self._real(rewards, reasons), ended

    def _real(self, rewards: list[Any], reasons: dict[int, str]) -> Array:
        """The rewards as numbers; one that is none fails its row."""
        if PLAIN.issuperset(map(type, rewards)):
            return np.array(rewards, dtype=float)
        for row, reward in enumerate(rewards):
            try:
                rewards[row] = real_number(reward)
            except Exception as error:  # the user's objects may raise anything
                reasons[row], rewards[row] = describe_error("step: ", error), 0.0
                self.copies.discard(self._running(row).slot)
        return np.array(rewards)

    def _end(self, reasons: dict[int, str], ended: dict[int, tuple[bool, bool]]) -> None:
        """Book the episodes of these rows and give the rows to pending ones."""
        for row in sorted(reasons.keys() | ended.keys()):
            episode, counts = self._running(row), (int(self.length[row]), int(self.clipped[row]))
            if row not in reasons and not np.isfinite(self.total[row]):
                reasons[row] = f"the return is {self.total[row]}"
            if row in reasons:
                self.outcomes.append(failed(episode, reasons[row], *counts))
            else:
                self.outcomes.append(self._done(episode, row, counts, *ended[row]))
            self.episodes[row] = None
            self._admit(row, episode.slot)
        self._drop_idle_rows()

    def _done(
        self, episode: Episode, row: int, counts: tuple[int, int], terminated: bool, truncated: bool
    ) -> Outcome:
        """The outcome of an episode that ended well, with its record."""
        i, rollout, moments = episode.candidate, None, None
        if self.proposal.moments:
            moments = Moments(counts[0], self.mean[row].copy(), self.M2[row].copy())
        if self.proposal.record:
            rollout = Rollout(
                cast(StochasticPolicy, self.setting.policy),
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

    def _running(self, row: int) -> Episode:
        return cast(Episode, self.episodes[row])
