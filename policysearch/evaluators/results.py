"""The results of compiled rollouts: arrays with a row per episode, which become an evaluation."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from policysearch.core import Array, Evaluation, Failure, Moments, Proposal, Rollout, StochasticPolicy
from policysearch.evaluators import loop


def empty_results(episodes: int, obs_size: int | None) -> loop.Results:
    """Results without logs, and with moments only where the size of an observation is given."""
    nothing, watched = np.empty((0, 0, 0)), (0, 0) if obs_size is None else (episodes, obs_size)
    steps, clipped, end = np.zeros((3, episodes), dtype=np.int64)
    return loop.Results(
        returns=np.empty(episodes),
        steps=steps,
        clipped=clipped,
        end=end,
        obs=nothing,
        actions=nothing,
        rewards=np.empty((0, 0)),
        mean=np.zeros(watched),
        M2=np.zeros(watched),
    )


def part_of(results: loop.Results, part: slice) -> loop.Results:
    """The results of some of the episodes, as views."""
    names = ("returns", "steps", "clipped", "end", "mean", "M2")
    return results._replace(**{name: getattr(results, name)[part] for name in names})


def with_logs(results: loop.Results, limit: int, obs_size: int, action_size: int) -> loop.Results:
    """Results with room for the observation, action and reward of every step, up to `limit` of them."""
    E = len(results.end)
    return results._replace(
        obs=np.empty((E, limit + 1, obs_size)),
        actions=np.empty((E, limit, action_size)),
        rewards=np.empty((E, limit)),
    )


def recorded(
    policy: StochasticPolicy, batch: loop.Batch, results: loop.Results, first: int
) -> dict[int, Rollout]:
    """The records of the episodes that did not fail, by their number, counted from `first`."""
    out = {}
    for e, (i, T, end) in enumerate(zip(batch.candidate, results.steps, results.end, strict=True)):
        if end in (loop.TERMINATED, loop.TRUNCATED):
            out[first + e] = Rollout(
                policy,
                batch.params[i],
                results.obs[e, :T].copy(),
                results.actions[e, :T].copy(),
                results.rewards[e, :T].copy(),
                results.obs[e, T].copy(),
                terminated=bool(end == loop.TERMINATED),
                truncated=bool(batch.limit == T),
            )
    return out


def completed(results: loop.Results) -> Bool[Array, "E"]:
    """Which episodes did not fail."""
    ended: Array = (results.end == loop.TERMINATED) | (results.end == loop.TRUNCATED)
    return ended


def failed(results: loop.Results) -> list[int]:
    """The numbers of the episodes that failed."""
    well = completed(results)
    return [] if well.all() else np.flatnonzero(~well).tolist()


def reason(results: loop.Results, e: int, failures: Sequence[str]) -> str:
    """Why episode e failed; `failures` are the simulator's own reasons."""
    end, steps, number = int(results.end[e]), int(results.steps[e]), float(results.returns[e])
    if end < 0:
        return f"{failures[-end - 1]} at step {steps - 1}"
    return {
        loop.BAD_ACTION: f"the action is not finite at step {steps}",
        loop.BAD_OBSERVATION: f"the observation is not finite at step {steps}",
        loop.BAD_REWARD: f"the reward is {number} at step {steps - 1}",
        loop.BAD_RETURN: f"the return is {number}",
    }[end]


def evaluation_of(
    proposal: Proposal, results: loop.Results, failures: Sequence[Failure], rollouts: Mapping[int, Rollout]
) -> Evaluation:
    """The evaluation of a proposal, episode e being the (e mod k)-th of candidate e // k."""
    n, k = len(proposal.params), proposal.episodes
    returns, moments, kept = results.returns, None, list[tuple[Rollout, ...]]()
    if failures:
        returns = np.where(completed(results), returns, np.nan)
    if proposal.moments:
        well = completed(results)
        moments = Moments.of_groups(results.steps[well], results.mean[well], results.M2[well])
    if proposal.record:
        kept = [tuple(rollouts[e] for e in range(i * k, i * k + k) if e in rollouts) for i in range(n)]
    return Evaluation(
        proposal.params,
        returns.reshape(n, k),
        results.steps.reshape(n, k),
        failures=tuple(failures),
        rollouts=tuple(kept),
        moments=moments,
        clipped_steps=int(results.clipped.sum()),
    )
