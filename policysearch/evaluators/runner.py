"""What all ways to run rollouts have in common.

`Runner` is the interface; `Divisible` one whose rollouts processes can share. `Outcome` is what comes of one episode;
`collect` makes an evaluation of many. Then the seeds of episodes, the description of exceptions, and checks.
"""

import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation, Failure, Moments, Policy, Proposal, Rollout
from policysearch.evaluators.interface import Interface
from policysearch.seeding import Key, digests, seed_in, seed_of, stream

Pair = tuple[int, int]  # candidate, episode
R = TypeVar("R", bound="Runner")
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

    @classmethod
    def failed(cls, candidate: int, episode: int, seed: int, reason: str, **more: Any) -> "Outcome":
        """That of an episode without a return; the lines of `reason` after the first are a traceback."""
        line, _, trace = reason.partition("\n")
        failure = Failure(candidate, episode, seed, line, trace[-MAX_TRACEBACK:])
        return cls(candidate, episode, failure=failure, **more)


class Runner(ABC):
    """An evaluator (`core.Evaluator`) that can compile ahead of its rollouts, and holds what has to be given back.

    Use it as a context manager, or call `close`.
    """

    description: ClassVar[str]  # how rollouts are run, for people, as in "compiled rollouts"
    sequential: ClassVar[bool] = False  # whether what an evaluation gives depends on those before it
    interface: Interface | None = None  # of its environment, if it has one
    seeded: bool = True  # whether its rollouts are given their seeds

    @abstractmethod
    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes.

        Raises:
            ValueError: for a proposal that it cannot run.
        """

    def compile(self) -> int:
        """Compile ahead of the first rollout; returns how many functions were neither in memory nor on disk."""
        return 0

    def close(self) -> None:  # noqa: B027 - there may be nothing to give back
        """Give back what it holds, such as threads and processes."""

    def __enter__(self: R) -> R:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def closed_on_failure(built: Any) -> Iterator[None]:
    """Close what has been built if the rest of building, or what it is used for, raises."""
    try:
        yield
    except BaseException:
        built.close()
        raise


class Divisible(Runner):
    """A runner whose rollouts do not depend on each other, so that each can be run by itself; see `PoolEvaluator`."""

    common_random_numbers: bool  # whether episode j has the same seed for every candidate

    @abstractmethod
    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that it cannot run."""

    def seed(self, key: Key, candidate: int, episode: int) -> int:
        """The seed that an episode is given."""
        return episode_seed(key, candidate, episode, common=self.common_random_numbers)

    @abstractmethod
    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[Pair]) -> Iterable[Outcome]:
        """What comes of these (candidate, episode) pairs of a proposal; it does not depend on the others."""

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        self.check(proposal)
        return collect(proposal, self.outcomes(proposal, key, proposal.pairs))


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


def episode_seeds(key: Key, candidates: int, episodes: int, *, common: bool) -> list[int]:
    """The environment seeds of all episodes of so many candidates; where they are common, those of the first."""
    if common:
        rests: list[Key] = [(j,) for j in range(episodes)]
    else:
        rests = [(j, i) for i in range(candidates) for j in range(episodes)]
    return [seed_in(digest) for digest in digests((*key, "episode"), rests)]


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
    return f"{where}{type(error).__name__}: {said}{place}\n{trace}"


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
