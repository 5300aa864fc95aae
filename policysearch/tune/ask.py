"""Asking a person for the return: somebody reads the parameters, tries them, and types what was measured.

    search ──question──▶ AskEvaluator ──▶ a person ──▶ answer, failed, skip, amend, undo, note ──▶ Answers ──▶ search

What was typed is all there is. A *question* is a candidate of a proposal of the search, and an answer belongs to its
question. When an answer that the search has been told is amended, or taken back, the search is run again from its
beginning (`asked`): as far as it asks the same questions, what was typed still holds; tries that it does not ask for
any more are set aside, and come back if the questions do. So a session in which slips were corrected ends like one
without them, and one that was killed at any moment goes on where it was.

A candidate that is skipped is `Evaluation.unmeasured`; at least half of a proposal's are measured. One of whose
episodes only some are skipped counts with the mean of the others, but for the final check, where they stay NaN.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from policysearch.asking.prompt import Asker, Command, Stopped, number, parsed, refused
from policysearch.configuration import Goal
from policysearch.constraints import Constraint
from policysearch.core import Evaluation, Proposal
from policysearch.evaluators.functions import Answer, FunctionEvaluator, Unusable
from policysearch.evaluators.recorded import digest
from policysearch.evaluators.runner import Runner
from policysearch.evaluators.shared import Outcome, collect
from policysearch.ledger import LedgerError
from policysearch.seeding import Key
from policysearch.space import Space
from policysearch.tune.fresh import shown

#: What can be typed beside a value, what follows it, and what it does.
COMMANDS = {
    "failed": ("[REASON]", "it was tried, and gave no value"),
    "skip": ("[REASON]", "nobody will try these values"),
    "amend": ("N VALUE [REASON]", "try N gave another value"),
    "undo": ("", "take back the last value, failed, skip or amend"),
    "note": ("WORDS", "words for the log"),
    "table": ("", "all tries so far"),
    "stop": ("", "end for now; the same command goes on"),
    "help": ("", "this list"),
}
VALUE = "VALUE [NAME=NUMBER ...]"
EXPECTED = "a number, or a command (help lists them)"
#: The events that are a try, and what the table calls them.
TRIES = {"answer": "measured", "failed": "failed", "skip": "skipped"}
UNDOABLE = (*TRIES, "amend")
#: All kinds of events.
KINDS = (*UNDOABLE, "undo", "note")
#: A value is doubted from this many measured ones on, if it is so many times larger than all of them (choice).
FEWEST, LARGER = 5, 10.0

Pair = tuple[int, int]  # candidate, episode
Record = tuple[str, Mapping[str, Any]]  # of an event: its kind and body
T = TypeVar("T")


class Rebuild(Exception):  # noqa: N818 - it is no error
    """The search has been told something that is not so any more, and has to begin again."""


@dataclass(frozen=True)
class Try:
    """What became of a question."""

    number: int  # for people, from 1
    values: Mapping[str, Any]  # of the parameters by name
    numbers: Mapping[str, float] = field(default_factory=dict)  # `return` and the others that were typed
    status: str = "measured"  # or "failed", "skipped", "amended"
    reason: str = ""

    @property
    def value(self) -> float:
        """The return; NaN where there is none."""
        return self.numbers.get("return", math.nan)

    def __str__(self) -> str:
        more = [f"{name}={x:.5g}" for name, x in self.numbers.items() if name != "return"]
        return " ".join([f"{self.value:.5g}", *more]) if self.numbers else self.status


class Answers:
    """Everything that was typed, and what of it is in force.

    Args:
        events: what was written before.
        write: makes an event durable.

    Attributes:
        events: all of them, as kinds and bodies.
        tries: every question that was ever answered, with its number and its parameters.
        held: what has become of the questions whose answers are in force.
    """

    def __init__(
        self, events: Sequence[Record] = (), write: Callable[[str, Any], None] = lambda kind, body: None
    ) -> None:
        self._write, self._failed = write, False
        self.events: list[Record] = []
        self.tries: dict[str, Try] = {}
        self.held: dict[str, Try] = {}
        self._undoable = list[tuple[str, str, Try | None]]()  # kind, question, what was held before
        for kind, body in events:
            self._keep(kind, body)

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        """Write an event down.

        Raises:
            LedgerError: if it cannot be written; from then on nothing is, until the log is opened again.
        """
        if self._failed:
            raise LedgerError("the log could not be written; run the same command again to see what is in it")
        self._failed = True
        self._write(kind, body)
        self._failed = False
        self._keep(kind, body)

    @property
    def last(self) -> tuple[str, str] | None:
        """The kind and question of what undoing takes back."""
        return self._undoable[-1][:2] if self._undoable else None

    def _keep(self, kind: str, body: Mapping[str, Any]) -> None:
        self.events.append((kind, body))
        if kind in UNDOABLE:
            question = body["question"]
            before = self.held.get(question)
            self._undoable.append((kind, question, before))
            self.held[question] = self._tried(kind, body, before)
        elif kind == "undo":
            _, question, before = self._undoable.pop()
            if before is None:
                del self.held[question]
            else:
                self.held[question] = before

    def _tried(self, kind: str, body: Mapping[str, Any], before: Try | None) -> Try:
        """What has become of a question, by an event."""
        numbers, reason = body.get("numbers", {}), body["reason"]
        if before is not None:  # an amendment
            return replace(before, numbers={**before.numbers, **numbers}, status="amended", reason=reason)
        number = len(self.tries) + 1
        first = self.tries.setdefault(body["question"], Try(number, body["values"]))
        return replace(first, numbers=numbers, status=TRIES[kind], reason=reason)


@dataclass(frozen=True, eq=False)
class _Turn:
    """A proposal, and its questions in the order of asking."""

    proposal: Proposal
    generation: int  # of its purpose
    questions: Mapping[Pair, str]


class AskEvaluator(Runner):
    """Asks a person for the return of every candidate and episode, unless it is known from `answers`.

    With the purpose "report", candidate 0 is the recommendation and 1 the start. They are asked for in the order
    R S S R …, so that a drift favours neither. Parameters that break a constraint fail without being asked for.

    Args:
        space: how the optimizer's coordinates become named parameters.
        asker: asks the person.
        goal: with "minimise", the evaluation's returns are what was typed with the sign turned.
        constraints: what the parameters have to meet.
        answers: what was typed before.
        tries: the most that the search will ask for, if that is known; for people.

    Raises:
        ValueError: for another goal, or a constraint that makes no sense.
        Rebuild: from `evaluate`, when the search has to begin again; see `asked`.
        Stopped: from `evaluate`, when the person ends for now.
        EOFError: from `evaluate`, when nobody answers any more.
    """

    description = "tries by a person"

    def __init__(
        self,
        space: Space,
        asker: Asker,
        *,
        goal: Goal = "maximise",
        constraints: Sequence[Constraint | str] = (),
        answers: Answers | None = None,
        tries: int | None = None,
    ) -> None:
        self.space, self.asker, self.tries = space, asker, tries
        self.answers = Answers() if answers is None else answers
        self._inner = FunctionEvaluator(self._answered, space, goal=goal, constraints=constraints)
        self._question = ""  # whose answer `_inner` takes
        self.restart()

    def restart(self) -> None:
        """Expect the search from its beginning."""
        self._turn: _Turn | None = None  # the one that is open
        self._told: set[str] = set()  # questions whose answers the search knows
        self._generations = Counter[str]()
        self._aside = 0

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """What was typed for these candidates, after asking for what is not known yet."""
        self.check(proposal)
        pairs = _order(proposal)
        turn = self._turn = self._opened(proposal, pairs)
        while pair := self._due:
            self._announce(turn, pair)
            while self._due == pair:
                self._obey(self.asker.line("  value"), pair)
        outcomes = [self._outcome(turn, key, pair) for pair in pairs]
        self._told |= set(turn.questions.values())
        self._turn = None
        fill = proposal.purpose != "report"
        return _without(collect(proposal, outcomes), self._skipped(turn), fill=fill)

    def finish(self) -> None:
        """Let the person correct what was typed, as long as they want; for the end of the search."""
        with suppress(EOFError, Stopped):
            while line := self.asker.line("\n  Enter ends; amend, undo and the others still work"):
                self._obey(line, None)

    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that wants actions."""
        self._inner.check(proposal)

    # ------------------------------------------------------------------------------------------------ questions

    def _opened(self, proposal: Proposal, pairs: Sequence[Pair]) -> _Turn:
        g = self._generations[proposal.purpose]
        self._generations[proposal.purpose] += 1
        of = digest(replace(proposal, recommendation=proposal.params[0]))  # whatever would be deployed
        named = [self.space.named(params) for params in proposal.params]
        broken = [any(c.violation(values) > 0 for c in self._inner.constraints) for values in named]
        questions = {(i, j): f"{proposal.purpose}/{g}/{of}/{i}/{j}" for i, j in pairs if not broken[i]}
        return _Turn(proposal, g, questions)

    @property
    def _due(self) -> Pair | None:
        """The first pair of the open turn without an answer."""
        questions = {} if self._turn is None else self._turn.questions
        return next((pair for pair, question in questions.items() if question not in self.answers.held), None)

    def _skipped(self, turn: _Turn) -> list[Pair]:
        held = self.answers.held
        return [pair for pair, q in turn.questions.items() if q in held and held[q].status == "skipped"]

    def _outcome(self, turn: _Turn, key: Key, pair: Pair) -> Outcome:
        self._question = turn.questions.get(pair, "")
        if pair in self._skipped(turn):
            return Outcome(*pair)
        (outcome,) = self._inner.outcomes(turn.proposal, key, [pair])
        return replace(outcome, retried=0)  # nobody has tried a failed one again

    def _answered(self, values: Mapping[str, Any], seed: int) -> Answer:
        held = self.answers.held[self._question]
        if held.status == "failed":
            raise Unusable(held.reason or "failed")
        return Answer.read(held.numbers)

    def _announce(self, turn: _Turn, pair: Pair) -> None:
        """Say what is to be tried."""
        say, answers, question = self.asker.say, self.answers, turn.questions[pair]
        aside = len(set(answers.held) - self._told - set(turn.questions.values()))
        if aside > self._aside:
            say(f"\n  tries that are set aside, as they are not asked for now: {aside}")
        self._aside = aside
        n = answers.tries[question].number if question in answers.tries else len(answers.tries) + 1
        most = f" of at most {self.tries + aside}" if self.tries and turn.proposal.purpose != "report" else ""
        say(f"\ntry {n}{most} ({self._label(turn, *pair)}):")
        values = self.space.named(turn.proposal.params[pair[0]])
        texts = {name: shown(value) for name, value in values.items()}
        widths = max(map(len, texts)), max(map(len, texts.values()))
        for p in self.space.parameters:
            say(f"  {p.name:{widths[0]}}  {texts[p.name]:>{widths[1]}} {p.unit}".rstrip())

    def _label(self, turn: _Turn, i: int, j: int) -> str:
        proposal = turn.proposal
        n, k = len(proposal.params), proposal.episodes
        repeat = f", measurement {j + 1} of {k}" if k > 1 else ""
        if proposal.purpose == "report":
            turns = "" if turn.generation or i + j else "; they take turns, so that a drift favours neither"
            return f"check: {('the recommendation', 'the start')[i]}{repeat}{turns}"
        if proposal.purpose == "re-evaluation":
            g = self._generations["search"]
            return f"generation {g}, once more, to see the noise: {i + 1} of {n}{repeat}"
        return f"generation {turn.generation + 1}, candidate {i + 1} of {n}{repeat}"

    # ------------------------------------------------------------------------------------------------- commands

    def _obey(self, line: str, pair: Pair | None) -> None:
        """Do what was typed; say why if that cannot be."""
        word, words = _parted(line)
        does: dict[str, Callable[[str], None]] = {
            "failed": lambda reason: self._tried("failed", pair, reason=reason),
            "skip": lambda reason: self._skip(pair, reason),
            "amend": self._amend,
            "undo": lambda _: self._undo(),
            "note": lambda text: self.answers.note("note", {"text": text}),
            "table": lambda _: self.asker.say(self.table()),
            "stop": lambda _: self._stop(),
            "help": lambda _: self._help(),
        }
        try:
            found = parsed(word, does, EXPECTED)
            if isinstance(found, Command):
                does[found.name](words)
            elif isinstance(found, float):
                self._measured(line, pair)
            else:
                raise refused(word, EXPECTED)
        except ValueError as error:
            self.asker.say(f"  {error}")

    def _measured(self, line: str, pair: Pair | None) -> None:
        numbers, rest = read(line)
        if rest:
            raise ValueError(f"expected {VALUE}, got {rest!r} after it")
        if self._is_meant(numbers["return"], _parted(line)[0]):
            self._tried("answer", pair, numbers=numbers)

    def _skip(self, pair: Pair | None, reason: str) -> None:
        if pair is not None and self._turn is not None:
            n, k = len(self._turn.proposal.params), self._turn.proposal.episodes
            skipped = Counter([pair[0], *(i for i, _ in self._skipped(self._turn))])
            if 2 * sum(count == k for count in skipped.values()) > n:
                raise ValueError(
                    f"skip: expected at least half of {n} candidates to be tried; try it, or type failed"
                )
        self._tried("skip", pair, reason=reason)

    def _tried(self, kind: str, pair: Pair | None, *, reason: str = "", **more: Any) -> None:
        if pair is None or self._turn is None:
            raise ValueError("nothing is asked now; amend N VALUE changes a try, undo takes one back")
        values = self.space.named(self._turn.proposal.params[pair[0]])
        body = {"question": self._turn.questions[pair], "values": values, "reason": reason, **more}
        self.answers.note(kind, body)

    def _amend(self, words: str) -> None:
        which, rest = _parted(words)
        known = {str(tried.number): question for question, tried in self.answers.held.items()}
        if not rest:
            raise ValueError(f"expected amend {COMMANDS['amend'][0]}, got {f'amend {words}'.strip()!r}")
        if which not in known:
            raise ValueError(f"expected the number of a try in force (table shows them), got {which!r}")
        numbers, reason = read(rest)
        question = known[which]
        if self._is_meant(numbers["return"], _parted(rest)[0], besides=question):
            before = self.answers.held[question]
            self.answers.note("amend", {"question": question, "numbers": numbers, "reason": reason})
            self.asker.say(f"  try {which}: {self.answers.held[question]}, before {before}")
            self._changed(question)

    def _undo(self) -> None:
        if self.answers.last is None:
            raise ValueError("undo: there is nothing to take back")
        kind, question = self.answers.last
        tried = self.answers.held[question]
        self.answers.note("undo", {})
        self.asker.say(f"  taken back: {'amend' if kind == 'amend' else tried}, of try {tried.number}")
        self._changed(question)

    def _changed(self, question: str) -> None:
        if question in self._told:
            raise Rebuild

    def _is_meant(self, value: float, typed: str, besides: str = "") -> bool:
        """Whether a value is plausible, or is typed again."""
        known = [tried.value for question, tried in self.answers.held.items() if question != besides]
        why = doubt(value, [x for x in known if math.isfinite(x)])
        return not why or self.asker.again(f"{why}; if it is right, type {typed} again", typed)

    def _stop(self) -> None:
        raise Stopped

    def _help(self) -> None:
        typed = {
            VALUE: "what was measured, and what else was",
            **{f"{c} {w}": x for c, (w, x) in COMMANDS.items()},
        }
        for words, what in typed.items():
            self.asker.say(f"  {words:24} {what}")

    def table(self) -> str:
        """All tries so far."""
        asked = self._told | set(self._turn.questions.values() if self._turn else ())
        units = [f" ({p.unit})" if p.unit else "" for p in self.space.parameters]
        names = [f"{p.name}{unit}" for p, unit in zip(self.space.parameters, units, strict=True)]
        rows = [["try", *names, "value", "status"]]
        for question, first in self.answers.tries.items():
            tried = self.answers.held.get(question, replace(first, status="taken back"))
            status = "set aside" if question in self.answers.held and question not in asked else tried.status
            values = [shown(tried.values[p.name]) for p in self.space.parameters]
            value = str(tried) if tried.numbers else ""
            rows.append([str(tried.number), *values, value, f"{status} {tried.reason}".strip()])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.rjust, row[:-1], widths)) + f"  {row[-1]}" for row in rows)
        return "\n".join(lines)


def asked(search: Callable[[AskEvaluator], T], evaluator: AskEvaluator) -> T:
    """What `search` finds with `evaluator`, run again from its beginning whenever an answer has changed.

    At the end the person may still correct what was typed.

    Raises:
        Stopped: if the person ends before that.
        EOFError: if nobody answers any more.
    """
    while True:
        evaluator.restart()
        try:
            found = search(evaluator)
            evaluator.finish()
        except Rebuild:
            continue
        return found


def read(line: str) -> tuple[dict[str, float], str]:
    """The `return` that begins a line, the other numbers by name that follow, and the rest.

    Raises:
        ValueError: for what is no number, a name that comes twice, or numbers that make no `Answer`.
    """
    first, *words = line.split()
    if (value := number(first)) is None:
        raise refused(first, "a number")
    numbers = {"return": value}
    while words and "=" in words[0]:
        name, _, text = words.pop(0).partition("=")
        if not name or name in numbers:
            raise ValueError(f"expected another NAME=NUMBER, got {name}={text}")
        if (given := number(text)) is None:
            raise refused(text, f"a number after {name}=")
        numbers[name] = given
    Answer.read(numbers)
    return numbers, " ".join(words)


def doubt(value: float, known: Sequence[float]) -> str:
    """Why a value should be typed again, given those that were measured; empty if it is plausible."""
    if len(known) < FEWEST:
        return ""
    if abs(value) > LARGER * max(map(abs, known)):
        return f"{value:g} is more than {LARGER:g} times larger than any before"
    if all(value * x < 0.0 for x in known):
        return f"{value:g} has another sign than all before"
    return ""


def _order(proposal: Proposal) -> list[Pair]:
    """Candidate after candidate; for the final check, all in turn, every other time backwards: R S S R …."""
    n, k = len(proposal.params), proposal.episodes
    if proposal.purpose == "report":
        return [(i, j) for j in range(k) for i in (range(n) if j % 2 == 0 else reversed(range(n)))]
    return [(i, j) for i in range(n) for j in range(k)]


def _without(evaluation: Evaluation, left_out: Sequence[Pair], *, fill: bool) -> Evaluation:
    """`evaluation`, some episodes of which were left out: unmeasured if all of a candidate, else the others' mean."""
    returns, unmeasured = evaluation.returns.copy(), []
    for i in sorted({i for i, _ in left_out}):
        skipped = [j for c, j in left_out if c == i]
        if len(skipped) == returns.shape[1]:
            unmeasured.append(i)
        elif fill:
            returns[i, skipped] = np.delete(returns[i], skipped).mean()
    return replace(evaluation, returns=returns, unmeasured=tuple(unmeasured))


def _parted(text: str) -> tuple[str, str]:
    """The first word, and what follows it."""
    word, rest = (*text.split(None, 1), "", "")[:2]
    return word, rest
