"""Evaluation of a plain Python function of named parameters."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policysearch.configuration import Goal
from policysearch.constraints import Constraint
from policysearch.core import Proposal
from policysearch.evaluators.calls import adapted
from policysearch.evaluators.interface import COMPLEX
from policysearch.evaluators.runner import Divisible, Outcome, Pair, describe_error, episode_seed
from policysearch.evaluators.undisturbed import Undisturbed
from policysearch.seeding import Key
from policysearch.space import Choice, Space

#: What a table of tries says of every one of them; what else was measured gets another name.
OWN_COLUMNS = ("generation", "candidate", "episode", "purpose", "return", "steps", "failure")

#: Names in a mapping that mean something here, so that their values have to be numbers.
MEANT = ("return", "steps", "violation")

NOT_RUN = "not run, as the parameters break"  # how the reason begins where no episode was run


class Unusable(Exception):  # noqa: N818 - it states what happened
    """An episode gave no return; the reason is complete without a traceback; `details` may be many lines."""

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason)
        self.details = details


@dataclass(frozen=True)
class Answer:
    """What an episode gave: its return, its steps, and what else was measured, `violation` among it."""

    ret: float
    steps: int = 1
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any, by: str = "the function") -> "Answer":
        """The answer in a number, or in a mapping with `return`, optional `steps`, and other numbers by name.

        An array of one number, as of NumPy, JAX or PyTorch, is that number; True and False are 1 and 0. What else is
        no number, such as a word, None or a list, is left out of the other names.

        Raises:
            TypeError: for a return, a violation or steps that are no real number.
            ValueError: for a return or a violation that is not finite, a missing return, or steps that no one takes.
        """
        if isinstance(value, Answer):
            return value
        if not isinstance(value, Mapping):
            value = {"return": value}
        if "return" not in value:
            got = ", ".join(map(str, value)) or "none"
            raise ValueError(f"expected 'return' among the names, got {got}; call what counts 'return'")
        numbers: dict[str, float] = {}
        for name, given in value.items():
            try:
                numbers[str(name)] = _number(name, given)
            except TypeError:
                if name in MEANT:
                    raise
        ret, steps = numbers.pop("return"), numbers.pop("steps", 1.0)
        if not math.isfinite(ret):
            raise ValueError(f"{by} returned {ret}")
        if not (steps >= 0 and steps.is_integer()):
            raise ValueError(f"steps: expected a whole number, 0 or more, got {steps:g}")
        if not math.isfinite(violation := numbers.get("violation", 0.0)):
            raise ValueError(f"violation: expected a finite number, got {violation}")
        return cls(ret, int(steps), numbers)


class FunctionEvaluator(Divisible):
    """`function(params, seed) -> return`, the parameters named and in their own units.

    `policysearch.evaluators.calls` says which other signatures a function may have.

    Beside the `return`, a mapping may hold `steps` (1 unless given), `violation` (above 0 the episode has failed)
    and other numbers, which become the evaluation's `metrics`. An exception, or a return that is not a finite
    number, fails the episode and is kept as the reason; after an exception the function is first called again, once.
    Metrics named like a parameter, or like a column of their table, are called `… (measured)`.
    Parameters that break a constraint fail without a call. What a function sets for the process, such as its output
    or folder, is there in its next call, and nowhere else (`policysearch.evaluators.undisturbed`).

    A function with a parameter called `cutoff` is given the return beyond which it may stop early, in its own sign: a
    cost above it, or a reward below it (infinite where none is known). It then returns what it has so far. That is
    right only where a return can only get worse with time, as the sum of a cost does. `hopeless`, the old name of the
    parameter, works until the next release.

    Args:
        function: what to maximise or minimise; `params` maps names to values.
        space: how the optimizer's coordinates become named parameters.
        goal: with "minimise", the evaluation's returns are the function's with the sign turned.
        constraints: what the parameters have to meet, as in `policysearch.constraints`.
        scenarios: values that replace those of parameters: episode j is repetition j // S, with the seed of that
            repetition, on scenario j % S of S; see `policysearch.optimizers.robust`.

    Raises:
        ValueError: for another goal, a signature that leaves open what is meant, or a constraint that makes no sense.
    """

    description = "calls of a function"
    common_random_numbers = True

    def __init__(
        self,
        function: Callable[..., float | Mapping[str, float] | Answer],
        space: Space,
        *,
        goal: Goal = "maximise",
        constraints: Sequence[Constraint | str] = (),
        scenarios: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.function, self.space, self.sign = function, space, sign_of(goal)
        self.scenarios = tuple(scenarios) or ({},)
        call = adapted(function, space.names)
        self._call, self.seeded = Undisturbed(call), bool(call.seed)
        texts = [c.text if isinstance(c, Constraint) else c for c in constraints]
        self.constraints = tuple(Constraint.parse(text, _numeric(space)) for text in texts)

    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that wants actions."""
        if proposal.sample or proposal.record:
            raise ValueError("a function has no actions to draw or record; use a method without scores")

    def seed(self, key: Key, candidate: int, episode: int) -> int:
        """The seed that an episode is given: that of its repetition, on every scenario."""
        return episode_seed(key, candidate, episode // len(self.scenarios), common=True)

    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[Pair]) -> list[Outcome]:
        """What comes of these (candidate, episode) pairs of a proposal."""
        return [self._try(proposal, key, i, j) for i, j in pairs]

    def _try(self, proposal: Proposal, key: Key, i: int, j: int) -> Outcome:
        seed = self.seed(key, i, j)
        values = self.space.named(proposal.params[i]) | self.scenarios[j % len(self.scenarios)]
        if reason := self.broken(values):
            return Outcome.failed(i, j, seed, f"{NOT_RUN} {reason}")
        retried, cutoff = 0, self.sign * proposal.cutoff
        try:
            try:
                value = self._call(dict(values), seed, cutoff)
            except (Exception, SystemExit):  # the user's code may raise anything
                retried = 1
                value = self._call(dict(values), seed, cutoff)  # it may have changed the first
            answer = self._renamed(Answer.read(value))
        except Unusable as error:
            return Outcome.failed(i, j, seed, f"{error}\n{error.details}", steps=1, retried=retried)
        except (Exception, SystemExit) as error:
            return Outcome.failed(i, j, seed, describe_error("", error), steps=1, retried=retried)
        measured: dict[str, Any] = {"steps": answer.steps, "metrics": answer.metrics, "retried": retried}
        if (violation := answer.metrics.get("violation", 0.0)) > 0:
            return Outcome.failed(i, j, seed, f"it reports a violation of {violation:g}", **measured)
        return Outcome(i, j, self.sign * answer.ret, **measured)

    def broken(self, values: Mapping[str, Any]) -> str:
        """The constraints that these values break, and by how much; empty if there is none."""
        found = [(constraint.text, constraint.violation(values)) for constraint in self.constraints]
        return ", ".join(f"{text} (by {violation:.3g})" for text, violation in found if violation > 0)

    def _renamed(self, answer: Answer) -> Answer:
        """An answer whose metrics have names that no parameter has, nor a table of tries."""
        taken = {*OWN_COLUMNS, *self.space.names}
        metrics = {f"{name} (measured)" if name in taken else name: x for name, x in answer.metrics.items()}
        return replace(answer, metrics=metrics)


def sign_of(goal: str) -> float:
    """What a return is multiplied by, so that larger is better.

    Raises:
        ValueError: for another goal than the two.
    """
    if goal not in ("maximise", "minimise"):
        raise ValueError(f"goal: expected 'maximise' or 'minimise', got {goal!r}")
    return 1.0 if goal == "maximise" else -1.0


def _number(name: Any, value: Any) -> float:
    said = "" if name == "return" else f"{name}: "
    item = getattr(value, "item", None)  # of an array, if it has one number
    try:
        plain = item() if callable(item) else value
        if isinstance(plain, (*COMPLEX, str, bytes)):
            raise TypeError
        return float(plain)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{said}expected a real number, got {value!r:.80}") from error


def _numeric(space: Space) -> list[str]:
    """Names of the parameters whose values are numbers."""
    text = {
        p.name
        for p in space.parameters
        if isinstance(p, Choice) and any(isinstance(o, str) for o in p.options)
    }
    return [name for name in space.names if name not in text]
