"""Episodes of any Gymnasium environment, many at a time in lockstep.

One episode per environment copy: the policy acts on a batch with one row per running episode, then every
copy takes one step. When an episode ends, its copy takes the next pending episode; nothing is stepped after
its end, and nothing is auto-reset. Since a policy computes each row by itself and every episode draws from
its own streams, the numbers do not depend on how many copies there are. A policy that has a kernel acts by
it, as in compiled rollouts.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from policysearch.core import Array, Moments, Policy, Proposal, kernel_of
from policysearch.evaluators.episode import (
    NOISE_BLOCK,
    Copies,
    Episode,
    Setting,
    not_finite,
    of_shape,
    real_number,
    run_single,
)
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.runner import (
    Deploy,
    Divisible,
    Outcome,
    Pair,
    check_deploy,
    check_fit,
    check_proposal,
    closed_on_failure,
)
from policysearch.seeding import Key

PLAIN = {float, np.float64, np.float32}  # types of ordinary rewards


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
        self._copies = Copies(make)
        self.interface = self._copies.interface
        with closed_on_failure(self):
            check_fit(policy, self.interface, self._copies.begin(0, seed=0))

    def __reduce__(self) -> Any:
        """Another process builds it anew."""
        build = functools.partial(
            EpisodeEvaluator,
            deploy=self.deploy,
            common_random_numbers=self.common_random_numbers,
            max_copies=self.max_copies,
        )
        return build, (self._copies.make, self.policy)

    def compile(self) -> int:
        """Compile the policy's kernel, if any; returns 1 if it was neither in memory nor on disk, else 0."""
        kernel: Any = kernel_of(self.policy)
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
        self._copies.close()

    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that the policy cannot run."""
        check_proposal(proposal, self.policy, self.deploy)

    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[Pair]) -> Iterable[Outcome]:
        """What comes of these (candidate, episode) pairs of a proposal; it does not depend on the others."""
        sampling = proposal.sample or self.deploy == "sample"
        setting = Setting(self._copies, self.policy, proposal, key, sampling, self.common_random_numbers)
        if min(len(pairs), self.max_copies) > 1:
            return Lockstep(setting, pairs, self.max_copies).run()
        return [run_single(setting, pair) for pair in pairs]


class Lockstep:
    """One evaluation. Every array has one row per running episode, in the order of `self.episodes`."""

    def __init__(self, setting: Setting, pairs: Sequence[Pair], max_copies: int) -> None:
        self.setting, self.copies, self.proposal = setting, setting.copies, setting.proposal
        self.act = setting.actor()
        self.outcomes: list[Outcome] = []
        self.pending = list(pairs)[::-1]
        rows, size = min(len(pairs), max_copies), self.copies.interface.obs_size
        self.episodes: list[Episode | None] = [None] * rows
        self.env_steps: list[Any] = [None] * rows  # the step method of each row's environment copy
        self.params = np.empty((rows, self.proposal.params.shape[1]))
        self.obs = np.empty((rows, size))
        self.state = np.zeros((rows, setting.policy.state_size))
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
            episode = self.setting.begin(*self.pending.pop(), slot)
            if isinstance(episode, Outcome):
                self.outcomes.append(episode)
                continue
            self.episodes[row], self.env_steps[row] = episode, self.copies.step(slot)
            self.params[row], self.obs[row] = self.proposal.params[episode.candidate], episode.first_obs
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
            block = self.setting.noise(self._running(row))
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
                reasons[row] = not_finite(self.obs[row], int(self.length[row]))
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
                reasons[row], rewards[row] = self._broken(row, error), 0.0
        return self._real(rewards, reasons), ended

    def _real(self, rewards: list[Any], reasons: dict[int, str]) -> Array:
        """The rewards as numbers; one that is none fails its row."""
        if PLAIN.issuperset(map(type, rewards)):
            return np.array(rewards, dtype=float)
        for row, reward in enumerate(rewards):
            try:
                rewards[row] = real_number(reward)
            except Exception as error:  # the user's objects may raise anything
                reasons[row], rewards[row] = self._broken(row, error), 0.0
        return np.array(rewards)

    def _end(self, reasons: dict[int, str], ended: dict[int, tuple[bool, bool]]) -> None:
        """Book the episodes of these rows and give the rows to pending ones."""
        for row in sorted(reasons.keys() | ended.keys()):
            episode, total = self._running(row), float(self.total[row])
            counts = (int(self.length[row]), int(self.clipped[row]))
            if row not in reasons and not math.isfinite(total):
                reasons[row] = f"the return is {total}"
            if row in reasons:
                outcome = episode.failed(reasons[row], *counts)
            else:
                moments, rollout = None, self.setting.rollout(episode, self.obs[row], *ended[row])
                if self.proposal.moments:
                    moments = Moments(counts[0], self.mean[row].copy(), self.M2[row].copy())
                place = (episode.candidate, episode.index)
                outcome = Outcome(*place, total, *counts, rollout=rollout, moments=moments)
            self.outcomes.append(outcome)
            self.episodes[row] = None
            self._admit(row, episode.slot)
        self._drop_idle_rows()

    def _broken(self, row: int, error: Exception) -> str:
        return self.setting.broken(self._running(row).slot, "step", error)

    def _running(self, row: int) -> Episode:
        return cast(Episode, self.episodes[row])
