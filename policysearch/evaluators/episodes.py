"""Episodes of any Gymnasium environment, many at a time in lockstep.

One episode per environment copy: the policy acts on a batch with one row per running episode, then every
copy takes one step. When an episode ends, its copy takes the next pending episode; nothing is stepped after
its end, and nothing is auto-reset. Since a policy computes each row by itself and every episode draws from
its own streams, the numbers do not depend on how many copies there are.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation, Failure, Moments, Policy, Proposal, Rollout, StochasticPolicy
from policysearch.evaluators.interface import COMPLEX, Interface
from policysearch.seeding import Key, seed_of, stream

Deploy = Literal["mode", "sample"]
NOISE_BLOCK = 64  # steps of action noise drawn at a time; the numbers do not depend on it


class EpisodeEvaluator:
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

    def __init__(
        self,
        make: Callable[[], Any],
        policy: Policy,
        *,
        deploy: Deploy = "mode",
        common_random_numbers: bool = True,
        max_copies: int = 64,
    ) -> None:
        if deploy not in ("mode", "sample"):
            raise ValueError(f"deploy: expected 'mode' or 'sample', got {deploy!r}")
        if max_copies < 1:
            raise ValueError(f"max_copies: expected at least 1, got {max_copies}")
        self.policy, self.deploy = policy, deploy
        self.common_random_numbers, self.max_copies = common_random_numbers, max_copies
        self._make = make
        self._copies: list[Any] = [make()]
        self.interface = Interface(self._copies[0].observation_space, self._copies[0].action_space)
        self.observe, self.to_env = self.interface.observer(), self.interface.actor()
        self._probe()

    def _probe(self) -> None:
        """Act once on a real first observation, so that a misfit shows before the first rollout."""
        obs = np.array(self.observe(self._copies[0].reset(seed=0)[0]), dtype=float)[None]
        params = self.policy.start(stream(0))[None]
        try:
            actions, _ = self.policy.act(params, obs, np.zeros((1, self.policy.state_size)))
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"policy: expected one for observations of {obs.shape[1]} numbers, got {self.policy}"
            ) from error
        if actions.shape != (1, self.interface.action_size):
            raise ValueError(
                f"policy: expected actions of {self.interface.action_size} numbers, "
                f"got {actions.shape[1]} from {self.policy}"
            )
        choices = getattr(self.policy, "choices", self.interface.choices)
        if choices != self.interface.choices:
            raise ValueError(
                f"policy: expected alternatives {self.interface.choices} for actions "
                f"{self.interface.action_space}, got {choices} from {self.policy}"
            )

    def close(self) -> None:
        """Close all environment copies."""
        for slot in range(len(self._copies)):
            self.discard(slot)

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        if proposal.params.shape[1] != self.policy.num_params:
            raise ValueError(
                f"params: expected {self.policy.num_params} numbers per candidate, "
                f"got {proposal.params.shape[1]}"
            )
        needs_samples = proposal.sample or proposal.record or self.deploy == "sample"
        if needs_samples and not hasattr(self.policy, "sample"):
            raise ValueError(f"policy: expected a stochastic one to sample from, got {self.policy}")
        return _Lockstep(self, proposal, key).run()

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

    def __init__(self, owner: EpisodeEvaluator, proposal: Proposal, key: Key) -> None:
        self.owner, self.proposal, self.key = owner, proposal, key
        self.sampling = proposal.sample or owner.deploy == "sample"
        self.keeps_obs = proposal.record or proposal.moments
        n, k = len(proposal.params), proposal.episodes
        self.returns, self.steps = np.full((n, k), np.nan), np.zeros((n, k), dtype=int)
        self.clipped_steps = 0
        self.failures: list[Failure] = []
        self.rollouts: dict[tuple[int, int], Rollout] = {}
        self.moments: dict[tuple[int, int], Moments] = {}

        self.pending = [(i, j) for i in range(n) for j in range(k)][::-1]
        rows, size = min(n * k, owner.max_copies), owner.interface.obs_size
        self.episodes: list[_Episode | None] = [None] * rows
        self.env_steps: list[Any] = [None] * rows  # the step method of each row's environment copy
        self.params = np.empty((rows, proposal.params.shape[1]))
        self.obs = np.empty((rows, size))
        self.state = np.zeros((rows, owner.policy.state_size))
        self.total, self.length = np.zeros(rows), np.zeros(rows, dtype=int)
        self.noise: Array | None = None  # a block per row, and for how many steps it has been drawn
        self.drawn = np.zeros(rows, dtype=int)

    def run(self) -> Evaluation:
        for row in range(len(self.episodes)):
            self._admit(row, slot=row)
        self._drop_idle_rows()
        while self.episodes:
            self._step()
        return Evaluation(
            self.proposal.params,
            self.returns,
            self.steps,
            failures=tuple(sorted(self.failures, key=lambda failure: (failure.candidate, failure.episode))),
            rollouts=self._recorded() if self.proposal.record else (),
            moments=self._merged_moments() if self.proposal.moments else None,
            clipped_steps=self.clipped_steps,
        )

    def _admit(self, row: int, slot: int) -> None:
        """Start the next pending episode in this row, if there is one that resets."""
        while self.pending:
            i, j = self.pending.pop()
            common = self.owner.common_random_numbers
            seed = seed_of(*self.key, "episode", j) if common else seed_of(*self.key, "episode", j, i)
            rng = stream(*self.key, "action", i, j) if self.sampling else None
            episode = _Episode(i, j, seed, slot, rng)
            try:
                obs = np.asarray(self.owner.observe(self.owner.copy(slot).reset(seed=seed)[0]), dtype=float)
                if obs.shape != self.obs.shape[1:]:
                    raise ValueError(
                        f"expected an observation of shape {self.obs.shape[1:]}, got {obs.shape}"
                    )
            except Exception as error:  # the user's code may raise anything
                self._fail(episode, _reason("reset", error))
                self.owner.discard(slot)
                continue
            self.episodes[row], self.env_steps[row] = episode, self.owner.copy(slot).step
            self.params[row], self.obs[row] = self.proposal.params[i], obs
            self.state[row], self.total[row], self.length[row], self.drawn[row] = 0.0, 0.0, 0, 0
            return

    def _drop_idle_rows(self) -> None:
        keep = [row for row, episode in enumerate(self.episodes) if episode is not None]
        if len(keep) == len(self.episodes):
            return
        self.episodes = [self.episodes[row] for row in keep]
        self.env_steps = [self.env_steps[row] for row in keep]
        self.params, self.obs, self.state = self.params[keep], self.obs[keep], self.state[keep]
        self.total, self.length, self.drawn = self.total[keep], self.length[keep], self.drawn[keep]
        self.noise = None if self.noise is None else self.noise[keep]

    def _act(self) -> tuple[Array, Array]:
        """Actions as the policy gives them, and its next states. What overflows fails as not finite."""
        policy = self.owner.policy
        with np.errstate(over="ignore", invalid="ignore"):
            if not self.sampling:
                return policy.act(self.params, self.obs, self.state)
            return self._sample(cast(StochasticPolicy, policy))

    def _sample(self, policy: StochasticPolicy) -> tuple[Array, Array]:
        for row in np.flatnonzero(self.drawn == self.length).tolist():
            block = policy.noise(cast(np.random.Generator, self._running(row).rng), NOISE_BLOCK)
            if self.noise is None:
                self.noise = np.empty((len(self.episodes), *block.shape))
            self.noise[row] = block
            self.drawn[row] += NOISE_BLOCK
        assert self.noise is not None  # noqa: S101 - every row drew its block at its first step
        now = self.noise[np.arange(len(self.episodes)), self.length % NOISE_BLOCK]
        return policy.sample(self.params, self.obs, self.state, now)

    def _step(self) -> None:
        """One step of every running episode."""
        actions, state = self._act()
        reasons: dict[int, str] = {}  # rows that fail now, and why
        for row in np.flatnonzero(~np.isfinite(actions).all(axis=1)).tolist():
            what = "action" if np.isfinite(self.obs[row]).all() else "observation"
            reasons[row] = f"the {what} is not finite at step {self.length[row]}"
        if reasons:
            self._end(reasons, {})
            return
        self.state = state
        if self.keeps_obs:
            self._keep_step(actions)
        env_actions, outside = self.owner.to_env(actions)
        self.clipped_steps += 0 if outside is None else int(outside.sum())
        rewards, ended = np.zeros(len(actions)), {}
        obs, observe, shape = self.obs, self.owner.observe, self.obs.shape[1:]
        for row, step in enumerate(self.env_steps):
            try:
                seen, reward, terminated, truncated, _ = step(env_actions[row])
                seen = np.asarray(observe(seen))
                if seen.shape != shape:
                    raise ValueError(f"expected an observation of shape {shape}, got {seen.shape}")
                obs[row] = seen
                if isinstance(reward, COMPLEX):
                    raise TypeError(f"expected a real number as reward, got {reward!r}")
                rewards[row] = reward
                if terminated or truncated:
                    ended[row] = (bool(terminated), bool(truncated))
            except Exception as error:  # the user's code may raise anything
                reasons[row] = _reason("step", error)
                self.owner.discard(self._running(row).slot)
        with np.errstate(over="ignore", invalid="ignore"):
            self.total += rewards
        self.length += 1
        for row in np.flatnonzero(~np.isfinite(rewards)).tolist():
            reasons.setdefault(row, f"the reward is {rewards[row]} at step {self.length[row] - 1}")
        if self.proposal.record:
            for episode, reward in zip(cast(list[_Episode], self.episodes), rewards.tolist(), strict=True):
                episode.rewards.append(reward)
        if ended or reasons:
            self._end(reasons, ended)

    def _keep_step(self, actions: Float[Array, "m a"]) -> None:
        for row, episode in enumerate(cast(list[_Episode], self.episodes)):
            episode.obs.append(self.obs[row].copy())
            if self.proposal.record:
                episode.actions.append(actions[row].copy())

    def _end(self, reasons: dict[int, str], ended: dict[int, tuple[bool, bool]]) -> None:
        """Book the episodes of these rows and give the rows to pending ones."""
        for row in sorted(reasons.keys() | ended.keys()):
            episode = self._running(row)
            i, j = episode.candidate, episode.index
            self.steps[i, j] = self.length[row]
            if row in reasons:
                self._fail(episode, reasons[row])
            elif not np.isfinite(self.total[row]):
                self._fail(episode, f"the return is {self.total[row]}")
            else:
                self.returns[i, j] = self.total[row]
                self._file(episode, row, *ended[row])
            self.episodes[row] = None
            self._admit(row, episode.slot)
        self._drop_idle_rows()

    def _fail(self, episode: _Episode, reason: str) -> None:
        self.failures.append(Failure(episode.candidate, episode.index, episode.seed, reason))

    def _file(self, episode: _Episode, row: int, terminated: bool, truncated: bool) -> None:
        """Keep the record of an episode that ended well."""
        if not self.keeps_obs:
            return
        i, j = episode.candidate, episode.index
        obs = np.array(episode.obs)
        if self.proposal.moments:
            mean = obs.mean(axis=0)
            self.moments[i, j] = Moments(len(obs), mean, ((obs - mean) ** 2).sum(axis=0))
        if self.proposal.record:
            self.rollouts[i, j] = Rollout(
                cast(StochasticPolicy, self.owner.policy),
                self.proposal.params[i],
                obs,
                np.array(episode.actions),
                np.array(episode.rewards),
                self.obs[row].copy(),
                terminated,
                truncated,
            )

    def _running(self, row: int) -> _Episode:
        return cast(_Episode, self.episodes[row])

    def _recorded(self) -> tuple[tuple[Rollout, ...], ...]:
        n, k = self.returns.shape
        return tuple(
            tuple(self.rollouts[i, j] for j in range(k) if (i, j) in self.rollouts) for i in range(n)
        )

    def _merged_moments(self) -> Moments:
        """The moments of all episodes, merged in the order of candidates and episodes."""
        merged = Moments.empty(self.owner.interface.obs_size)
        for key in sorted(self.moments):
            merged = merged + self.moments[key]
        return merged


def _reason(where: str, error: Exception) -> str:
    """The error in one line, with the place in the user's code that raised it."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = "" if frame is None else f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})"
    return f"{where}: {type(error).__name__}: {error}{place}"
