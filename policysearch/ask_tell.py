"""A search seen from outside, for people who run their own loop: `AskTell`; and the conversation underneath."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import NO_FITNESS_YET, Array, Domain, Evaluation, Optimizer, Proposal, just_below
from policysearch.seeding import seed_of, stream

#: What is told of a proposal; see `AskTell.tell`.
Returns = Evaluation | Mapping[Any, Any] | Sequence[Any] | Array


class _FitnessOfFailure:
    """The fitness of failed candidates, from all generations so far; see `core.Evaluation.fitness`."""

    def __init__(self) -> None:
        self.worst, self.best = np.inf, -np.inf

    def fill(self, evaluation: Evaluation) -> Evaluation:
        if evaluation.complete:
            worst, best = evaluation.extremes
            self.worst, self.best = min(self.worst, worst), max(self.best, best)
            return evaluation
        finite = evaluation.means[np.isfinite(evaluation.means)]
        if finite.size:
            self.worst = min(self.worst, float(finite.min()))
            self.best = max(self.best, float(finite.max()))
        if self.worst > self.best:
            return replace(evaluation, failed_fitness=NO_FITNESS_YET)
        spread = self.best - self.worst
        failed = self.worst - (spread if spread > 0 else 1.0)
        return replace(evaluation, failed_fitness=just_below(self.worst, failed))


class SearchFailed(RuntimeError):  # noqa: N818 - a state of affairs, as in "the search failed"
    """Three generations in a row, at least ten episodes among them, had no finite return."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.params = evaluation.params
        reason = evaluation.failures[-1].reason if evaluation.failures else "non-finite returns"
        shown = np.array2string(evaluation.params[0], precision=4, threshold=6, edgeitems=2, separator=", ")
        super().__init__(f"every episode of the last three generations failed ({reason}), parameters {shown}")


class Conversation:
    """A search, its open proposal (None at its end) and its recommendation.

    Arrays that leave the search are copies: whoever changes them in place changes no search.

    Attributes:
        failed: why the search is given up; None while there is no reason to.
    """

    def __init__(self, optimizer: Optimizer, domain: Domain, seed: int, *names: int | str) -> None:
        self._search = optimizer.search(domain, stream(seed, "search", *names))
        self._fitness, self._failing, self._failed_episodes = _FitnessOfFailure(), 0, 0
        self.failed: SearchFailed | None = None
        self._take(next(self._search))

    def _take(self, proposal: Proposal | None, recommendation: Float[Array, "d"] | None = None) -> None:
        latest = recommendation if proposal is None else proposal.recommendation
        self.proposal, self.recommendation = proposal, np.array(latest)

    def send(self, evaluation: Evaluation) -> None:
        """Tell the search what has come of its proposal."""
        try:
            self._take(self._search.send(self._fitness.fill(evaluation)))
        except StopIteration as end:
            self._take(None, end.value)
        wholly_failed = not evaluation.complete and (
            not np.isfinite(evaluation.returns).any() and evaluation.measured.size > 0
        )
        self._failing = self._failing + 1 if wholly_failed else 0
        self._failed_episodes = self._failed_episodes + evaluation.returns.size if wholly_failed else 0
        if self._failing >= 3 and self._failed_episodes >= 10:
            self.failed = SearchFailed(evaluation)


class AskTell:
    """A search seen from outside: `ask`, run the candidates yourself, `tell`.

    It can be pickled and copied: the copy repeats the search with what has been told, and continues as the original.
    So does a new one with the same optimizer, domain and seed that is told the same returns. Keep the token of a
    proposal with its returns, and tell both: returns of another search are then refused.

    >>> from policysearch.optimizers import RandomSearch
    >>> search = AskTell(RandomSearch(population_size=2), Domain.unbounded(np.zeros(3)), seed=1)
    >>> proposal = search.ask()
    >>> search.tell([-np.sum(params**2) for params in proposal.params])
    >>> search.recommendation.shape
    (3,)
    >>> search.tell(search.ask(), {1: -2.5})  # the second candidate; the first one is told later
    >>> search.missing
    [0]
    """

    def __init__(self, optimizer: Optimizer, domain: Domain, seed: int, *names: int | str) -> None:
        self._begin(optimizer, domain, seed, *names)

    def _begin(self, optimizer: Optimizer, domain: Domain, seed: int, *names: int | str) -> None:
        self._given: tuple[Any, ...] = (optimizer, domain, seed, *names)
        text = f"{type(optimizer).__qualname__} {seed_of(seed, 'search', *names)}".encode()
        ends = (domain.start, domain.lower, domain.upper)
        self._identity = hashlib.sha256(text + b"".join(x.tobytes() for x in ends)).hexdigest()[:8]
        self._conversation = Conversation(optimizer, domain, seed, *names)
        self._told = list[Evaluation | Array]()
        self._asked = False
        self._open()

    def _open(self) -> None:
        """Take the next proposal from the search."""
        proposal, origin = self._conversation.proposal, f"{len(self._told)}-{self._identity}"
        self._proposal = None if proposal is None else replace(proposal, origin=origin)
        self._some = dict[int, Array]()  # returns by candidate, until there are all of them

    def __reduce__(self) -> tuple[Any, ...]:
        token = "" if self._proposal is None else self._proposal.token
        return _again, (self._given, [*self._told], dict(self._some), self._asked, token)

    @property
    def recommendation(self) -> Float[Array, "d"]:
        """What to deploy now."""
        return self._conversation.recommendation

    @property
    def finished(self) -> bool:
        """Whether the optimizer has ended by itself, so that there is no further proposal."""
        return self._proposal is None

    @property
    def missing(self) -> list[int]:
        """The candidates of the open proposal that have not been told."""
        return [
            i
            for i in range(0 if self._proposal is None else len(self._proposal.params))
            if i not in self._some
        ]

    def ask(self) -> Proposal:
        """The proposal to run now; the same one until all of its candidates have been told.

        Raises:
            SearchFailed: after three generations in a row, with at least ten episodes, that failed wholly.
            RuntimeError: if the search has ended by itself.
        """
        if self._conversation.failed is not None:
            raise self._conversation.failed
        if self._proposal is None:
            raise RuntimeError("ask: the search has ended by itself; use .recommendation")
        self._asked = True
        return self._proposal

    def tell(self, result: Returns | Proposal | str, returns: Returns | None = None) -> None:
        """Hand back the returns of the asked candidates.

        Args:
            result: an `Evaluation`; n numbers, or n × k of them; or a mapping from the indices of some candidates to
                a number or k of them, the others being told later. None and what is not finite is a failure.
            returns: the same; `result` is then the proposal that they belong to, or its token.

        Raises:
            ValueError: if the returns do not have the shape of the proposal or are not real numbers, if they belong
                to another proposal, or if the proposal asks for rollouts and gets numbers.
        """
        proposal = self.ask()
        if isinstance(result, Proposal | str):
            self._check(result if isinstance(result, str) else result.token)
            result = returns if returns is not None else []
        if isinstance(result, Evaluation):
            if not np.array_equal(result.params, proposal.params):
                raise ValueError(
                    "tell: expected an evaluation of the open proposal, got one of other parameters"
                )
            self._send(result)
        elif proposal.record:
            raise ValueError("tell: the proposal asks for rollouts (record=True); expected an Evaluation")
        elif isinstance(result, Mapping):
            self._tell_some(proposal, result)
        else:
            numbers = _numbers(result)
            numbers = numbers[:, None] if numbers.ndim == 1 else numbers
            check_shape(numbers, proposal)
            self._send(numbers)

    def _tell_some(self, proposal: Proposal, result: Mapping[Any, Any]) -> None:
        n, k = len(proposal.params), proposal.episodes
        if wrong := [i for i in result if isinstance(i, bool) or i not in range(n)]:
            raise ValueError(f"tell: expected candidates from 0 to {n - 1}, got {wrong[0]!r}")
        rows = {int(i): np.atleast_1d(_numbers(value)) for i, value in result.items()}
        if wrong := [i for i, row in rows.items() if row.shape != (k,)]:
            raise ValueError(f"tell: expected {k} returns of candidate {wrong[0]}, got {result[wrong[0]]}")
        self._some |= rows
        if not self.missing:
            self._send(np.array([self._some[i] for i in range(n)]))

    def _send(self, told: Evaluation | Array) -> None:
        """Tell the search an evaluation, or n × k returns, and take its next proposal."""
        proposal = self.ask()
        if isinstance(told, Evaluation):
            check_shape(told.returns, proposal)
            evaluation = told
        else:
            evaluation = Evaluation(proposal.params, told, np.zeros(told.shape, dtype=int))
        self._conversation.send(evaluation)
        self._told.append(told)
        self._open()

    def _check(self, token: str) -> None:
        """Raise ValueError for the token of another proposal than the open one."""
        number, _, search = token.rpartition("-")[0].partition("-")
        if token == self.ask().token:
            return
        of = f"generation {number} of this search" if search == self._identity else "another search"
        raise ValueError(
            f"tell: expected returns of the open proposal ({self.ask().token}), got those of {of} ({token}); "
            "continue a search with its own optimizer, domain and seed, and tell its returns in their order"
        )

    def inject(self, points: Array | Sequence[Any], returns: Array | Sequence[Any] | None = None) -> None:
        """Let the search begin at a point of your own; of several, at the one with the largest of their m `returns`.

        Points, m × d numbers or d of them, are in the coordinates of the proposals. This is for results from before
        the search: a running one has no place for points that it has not proposed.

        Raises:
            ValueError: after the first `ask`, for points without finite returns, or one outside the bounds.
        """
        if self._asked:
            raise ValueError(
                "inject: expected before the first ask; a running search takes in no points: begin another one"
            )
        rows = np.atleast_2d(np.array(points, dtype=float))
        if returns is None and len(rows) > 1:
            raise ValueError(f"inject: expected a return for each of {len(rows)} points, got none")
        values = _numbers([0.0] if returns is None else returns)
        if values.shape != (len(rows),) or np.isnan(values).all():
            raise ValueError(f"inject: expected {len(rows)} returns, some of them finite, got {returns}")
        optimizer, domain, *rest = self._given
        self._begin(optimizer, replace(domain, start=rows[np.nanargmax(values)]), *rest)


def _again(
    given: tuple[Any, ...],
    told: Sequence[Evaluation | Array],
    some: Mapping[int, Array],
    asked: bool,
    token: str,
) -> AskTell:
    """The search that has been told this.

    Raises:
        ValueError: if its open proposal is not the one with that token.
    """
    search = AskTell(*given)
    for entry in told:
        search._send(entry)
    if token and (search.finished or search.ask().token != token):
        raise ValueError(f"search: expected to continue with {token}, got another proposal: another version?")
    search._some, search._asked = dict(some), asked
    return search


def _numbers(result: Any) -> Array:
    """Returns as numbers, NaN where one is None or not finite.

    Raises:
        ValueError: for what is no real number.
    """
    given = np.asarray(result, dtype=object).ravel()
    if wrong := [
        x for x in given if isinstance(x, bool | np.bool_ | str | bytes | complex | np.complexfloating)
    ]:
        raise ValueError(f"returns: expected real numbers, got {wrong[0]!r}")
    returns = np.array(result, dtype=float)
    return np.where(np.isfinite(returns), returns, np.nan)


def check_shape(returns: Array, proposal: Proposal) -> None:
    """Raise ValueError for returns of another shape than that of a proposal."""
    expected = (len(proposal.params), proposal.episodes)
    if returns.shape != expected:
        raise ValueError(f"returns: expected shape (candidates, episodes) = {expected}, got {returns.shape}")
