"""What the evaluators of episodes share: checks, seeds, and outcomes that become an evaluation."""

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation, Failure, Moments, Policy, Proposal, Rollout
from policysearch.evaluators.interface import Interface
from policysearch.seeding import Key, seed_of, stream

Deploy = Literal["mode", "sample"]

#: Characters that are kept of a traceback: its end.
MAX_TRACEBACK = 4000


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of one episode."""

    candidate: int
    episode: int
    ret: float = np.nan  # the return; NaN where the episode failed
    steps: int = 0
    clipped_steps: int = 0
    failure: Failure | None = None
    rollout: Rollout | None = None
    moments: Moments | None = None  # of its observations
    metrics: Mapping[str, float] = field(default_factory=dict)  # what else was measured
    retried: int = 0  # times that it was run before


def collect(proposal: Proposal, outcomes: Iterable[Outcome]) -> Evaluation:
    """The evaluation of `proposal` from the outcomes of its episodes, in whatever order they come."""
    shape = (len(proposal.params), proposal.episodes)
    returns, steps = np.full(shape, np.nan), np.zeros(shape, dtype=int)
    ordered = sorted(outcomes, key=lambda outcome: (outcome.candidate, outcome.episode))
    rollouts: list[list[Rollout]] = [[] for _ in range(shape[0])]
    for outcome in ordered:
        place = (outcome.candidate, outcome.episode)
        returns[place], steps[place] = outcome.ret, outcome.steps
        if outcome.rollout is not None:
            rollouts[outcome.candidate].append(outcome.rollout)
    names = sorted({name for outcome in ordered for name in outcome.metrics})
    metrics = {name: np.full(shape, np.nan) for name in names}
    for outcome in ordered:
        for name, value in outcome.metrics.items():
            metrics[name][outcome.candidate, outcome.episode] = value
    moments = [outcome.moments for outcome in ordered if outcome.moments is not None]
    return Evaluation(
        proposal.params,
        returns,
        steps,
        failures=tuple(outcome.failure for outcome in ordered if outcome.failure is not None),
        rollouts=tuple(map(tuple, rollouts)) if proposal.record else (),
        moments=Moments.merged(moments) if moments else None,
        clipped_steps=sum(outcome.clipped_steps for outcome in ordered),
        retried_rollouts=sum(outcome.retried for outcome in ordered),
        metrics=metrics,
    )


def episode_seed(key: Key, candidate: int, episode: int, *, common: bool) -> int:
    """The environment seed of an episode: the same for all candidates, or not."""
    return seed_of(*key, "episode", episode) if common else seed_of(*key, "episode", episode, candidate)


def action_stream(key: Key, candidate: int, episode: int) -> np.random.Generator:
    """The stream of an episode's action noise."""
    return stream(*key, "action", candidate, episode)


def describe_error(where: str, error: BaseException) -> str:
    """The error in one line, with the place in the user's code that raised it; then its traceback."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = "" if frame is None else f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})"
    try:
        said = " ".join(str(error).split())
        trace = "".join(traceback.format_exception(error))
    except Exception:  # the user's exception may raise when it is shown
        said, trace = "(an exception that cannot be shown)", ""
    return f"{where}{type(error).__name__}: {said}{place}\n{trace[-MAX_TRACEBACK:]}"


def check_deploy(deploy: str) -> None:
    """Raise ValueError for a way to deploy that is not one."""
    if deploy not in ("mode", "sample"):
        raise ValueError(f"deploy: expected 'mode' or 'sample', got {deploy!r}")


def check_fit(policy: Policy, interface: Interface, obs: Float[Array, "o"]) -> None:
    """Act once on a first observation, so that a policy that does not fit is refused before the first rollout."""
    params = policy.start(stream(0))[None]
    try:
        actions, _ = policy.act(params, obs[None], np.zeros((1, policy.state_size)))
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"policy: expected one for observations of {obs.size} numbers, got {policy}"
        ) from error
    if actions.shape != (1, interface.action_size):
        raise ValueError(
            f"policy: expected actions of {interface.action_size} numbers, "
            f"got {actions.shape[1]} from {policy}"
        )
    choices = getattr(policy, "choices", interface.choices)
    if choices != interface.choices:
        raise ValueError(
            f"policy: expected alternatives {interface.choices} for actions {interface.action_space}, "
            f"got {choices} from {policy}"
        )


def check_proposal(proposal: Proposal, policy: Policy, deploy: Deploy) -> None:
    """Raise ValueError for a proposal that the policy cannot run."""
    if proposal.params.shape[1] != policy.num_params:
        raise ValueError(
            f"params: expected {policy.num_params} numbers per candidate, got {proposal.params.shape[1]}"
        )
    if (proposal.sample or proposal.record or deploy == "sample") and not hasattr(policy, "sample"):
        raise ValueError(f"policy: expected a stochastic one to sample from, got {policy}")
