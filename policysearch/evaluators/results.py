"""The results of compiled rollouts: arrays with a row per episode, which become an evaluation."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int

from policysearch.core import Array, Evaluation, Failure, Moments, Proposal, Rollout, StochasticPolicy
from policysearch.evaluators import loop
from policysearch.evaluators.runner import Outcome, Pair

#: No logs: observations, actions and rewards; no moments: means and sums of squared deviations.
NOTHING = (np.empty((0, 0, 0)), np.empty((0, 0, 0)), np.empty((0, 0)), np.zeros((0, 0)), np.zeros((0, 0)))


def empty_results(episodes: int, obs_size: int | None) -> loop.Results:
    """Results without logs, and with moments only where the size of an observation is given."""
    steps, clipped, end = np.zeros((3, episodes), dtype=np.int64)
    found = loop.Results(np.empty(episodes), steps, clipped, end, *NOTHING)
    if obs_size is None:
        return found
    mean, M2 = np.zeros((2, episodes, obs_size))
    return found._replace(mean=mean, M2=M2)


def part_of(results: loop.Results, part: slice) -> loop.Results:
    """The results of some of the episodes, as views."""
    names = ("returns", "steps", "clipped", "end", "mean", "M2")
    return results._replace(**{name: getattr(results, name)[part] for name in names})


def batch_of(batch: loop.Batch, episodes: Int[Array, "n"]) -> loop.Batch:
    """The batch of some of its episodes, whose actions are not drawn."""
    return batch._replace(candidate=batch.candidate[episodes], draw_of=batch.draw_of[episodes])


def results_of(results: loop.Results, episodes: Int[Array, "n"]) -> loop.Results:
    """Copies of the results of some of the episodes."""
    return loop.Results(*(array[episodes] if len(array) else array for array in results))


def put_back(some: loop.Results, results: loop.Results, episodes: Int[Array, "n"]) -> None:
    """Write the results of some of the episodes to those of all."""
    for array, all_of_them in zip(some, results, strict=True):
        if len(all_of_them):
            all_of_them[episodes] = array


def with_logs(results: loop.Results, limit: int, obs_size: int, action_size: int) -> loop.Results:
    """Results with room for the observation, action and reward of every step, up to `limit` of them."""
    E = len(results.end)
    return results._replace(
        obs=np.empty((E, limit + 1, obs_size)),
        actions=np.empty((E, limit, action_size)),
        rewards=np.empty((E, limit)),
    )


def recorded(
    policy: StochasticPolicy, batch: loop.Batch, results: loop.Results
) -> Iterator[tuple[int, Rollout]]:
    """The candidates and records of the episodes that did not fail, in order."""
    for e in np.flatnonzero(completed(results)).tolist():
        i, T = int(batch.candidate[e]), int(results.steps[e])
        yield (
            i,
            Rollout(
                policy,
                batch.params[i],
                results.obs[e, :T].copy(),
                results.actions[e, :T].copy(),
                results.rewards[e, :T].copy(),
                results.obs[e, T].copy(),
                terminated=bool(results.end[e] == loop.TERMINATED),
                truncated=batch.limit == T,
            ),
        )


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
    proposal: Proposal,
    results: loop.Results,
    failures: Sequence[Failure],
    rollouts: Sequence[tuple[int, Rollout]],
) -> Evaluation:
    """The evaluation of a proposal, episode e is the (e mod k)-th of candidate e // k; rollouts with candidates."""
    by_candidate: list[list[Rollout]] = [[] for _ in range(len(proposal.params) if proposal.record else 0)]
    for i, rollout in rollouts:
        by_candidate[i].append(rollout)
    shape, returns, moments = (len(proposal.params), proposal.episodes), results.returns, None
    if failures:
        returns = np.where(completed(results), returns, np.nan)
    if proposal.moments:
        well = completed(results)
        moments = Moments.of_groups(results.steps[well], results.mean[well], results.M2[well])
    return Evaluation(
        proposal.params,
        returns.reshape(shape),
        results.steps.reshape(shape),
        failures=tuple(failures),
        rollouts=tuple(map(tuple, by_candidate)),
        moments=moments,
        clipped_steps=int(results.clipped.sum()),
    )


def outcomes_of(
    proposal: Proposal,
    pairs: Sequence[Pair],
    results: loop.Results,
    failures: Sequence[Failure],
    rollouts: Sequence[tuple[int, Rollout]],
) -> list[Outcome]:
    """The outcomes of some (candidate, episode) pairs, an episode each; rollouts are those that did not fail."""
    why = {(failure.candidate, failure.episode): failure for failure in failures}
    records = iter(rollouts)
    outcomes = []
    for e, (i, j) in enumerate(pairs):
        failure = why.get((i, j))
        well = failure is None
        outcomes.append(
            Outcome(
                i,
                j,
                float(results.returns[e]) if well else np.nan,
                int(results.steps[e]),
                int(results.clipped[e]),
                failure,
                next(records)[1] if well and proposal.record else None,
                Moments(int(results.steps[e]), results.mean[e], results.M2[e])
                if well and proposal.moments
                else None,
            )
        )
    return outcomes
