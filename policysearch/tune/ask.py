"""Returns from a person, who reads the parameters, tries them, and types what was measured.

    search ──question──▶ AskEvaluator ──▶ a person ──▶ answer, failed, skip, amend, undo, note ──▶ Answers ──▶ search

Everything follows from what was typed (`policysearch.asking.search`). When an answer changes that the search has been
told, `asked` runs the search again from its beginning. A candidate with a skipped episode counts with the mean of its
other episodes, except in the final check, where the skipped episode stays NaN.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from policysearch.asking.prompt import Command, Finished, Prompt, Stopped, described, parsed, refused, stop
from policysearch.asking.search import AskedGeneration, Pair, without
from policysearch.configuration import Goal
from policysearch.constraints import Constraint
from policysearch.core import Evaluation, Proposal
from policysearch.evaluators.functions import Answer, FunctionEvaluator, Unusable
from policysearch.evaluators.recorded import digest
from policysearch.evaluators.runner import Outcome, Runner, collect
from policysearch.seeding import Key
from policysearch.space import Space
from policysearch.tune.tries import Answers, doubt, read
from policysearch.tune.words import formatted

VALUE = "VALUE", "[NAME=NUMBER ...]"
#: The commands, what follows each, and what it does.
COMMANDS = {
    "failed": ("[REASON]", "it was tried, and gave no value"),
    "skip": ("[REASON]", "these values are not tried"),
    "amend": ("N VALUE [REASON]", "try N gave another value"),
    "finish": ("", "end the search, and then the check of what it recommends"),
    "undo": ("", "take back the last value, failed, skip, amend or finish"),
    "note": ("WORDS", "words for the log"),
    "table": ("", "all tries so far"),
    "stop": ("", "end for now; the same command continues"),
    "help": ("", "this list"),
}
HELP = described({VALUE[0]: (VALUE[1], "what was measured, and what else was"), **COMMANDS})
EXPECTED = "a number, or a command (help lists them)"

T = TypeVar("T")


class Rebuild(Exception):  # noqa: N818 - it is no error
    """An answer has changed that the search has been told, so the search has to begin again."""


class AskEvaluator(Runner):
    """Asks a person for the return of every candidate and episode, unless `answers` holds it.

    With the purpose "report", candidate 0 is the recommendation and 1 the start. They are asked for in the order
    R S S R …, so that a drift favours neither. Parameters that break a constraint fail without a question.

    Args:
        space: how the optimizer's coordinates become named parameters.
        prompt: asks the person.
        goal: with "minimise", the evaluation's returns are what was typed with the sign turned.
        constraints: what the parameters have to meet.
        answers: what was typed before.
        tries: the most that the search will ask for, if that is known; shown to the person.

    Raises:
        ValueError: for another goal, or a constraint that makes no sense.
        Rebuild: from `evaluate`, when the search has to begin again; see `asked`.
        Finished: from `evaluate`, when the person has ended the search.
        Stopped: from `evaluate`, when the person ends for now.
        EOFError: from `evaluate`, when no further line comes.
    """

    description = "tries by a person"

    def __init__(
        self,
        space: Space,
        prompt: Prompt,
        *,
        goal: Goal = "maximise",
        constraints: Sequence[Constraint | str] = (),
        answers: Answers | None = None,
        tries: int | None = None,
    ) -> None:
        self.space, self.prompt, self.tries = space, prompt, tries
        self.answers = Answers() if answers is None else answers
        self._inner = FunctionEvaluator(self._answered, space, goal=goal, constraints=constraints)
        self._question = ""  # whose answer `_inner` takes
        self.restart()

    def restart(self) -> None:
        """Expect the search from its beginning."""
        self._open: AskedGeneration | None = None
        self._told: set[str] = set()  # questions whose answers the search knows
        self._generations = Counter[str]()  # by purpose
        self._aside = 0

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """What was typed for these candidates, after asking for what is not known yet."""
        self.check(proposal)
        number = self._generations[proposal.purpose]
        self._generations[proposal.purpose] += 1
        generation = self._open = _questions(proposal, number, self.space, self._inner)
        while pair := self._due:
            if _ended(proposal, self.answers):
                raise Finished("the person ended it by finish")
            self._announce(generation, pair)
            while self._due == pair and not _ended(proposal, self.answers):
                self._obey(self.prompt.line("  value"), pair)
        outcomes = [self._outcome(generation, key, pair) for pair in proposal.pairs]
        self._told |= set(generation.questions.values())
        self._open = None
        fill = proposal.purpose != "report"
        return without(collect(proposal, outcomes), _skipped(generation, self.answers), fill=fill)

    def finish(self) -> None:
        """Let the person correct what was typed, as long as they want; for the end of the search."""
        with suppress(EOFError, Stopped):
            while line := self.prompt.line("\n  Enter ends; amend, undo and the others still work"):
                self._obey(line, None)

    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that wants actions."""
        self._inner.check(proposal)

    @property
    def _due(self) -> Pair | None:
        """The first pair of the open generation without an answer, unless the check is finished."""
        if self._open is None or _is_checked(self._open.proposal, self.answers):
            return None
        questions = self._open.questions
        return next((pair for pair, question in questions.items() if question not in self.answers.held), None)

    def _outcome(self, generation: AskedGeneration, key: Key, pair: Pair) -> Outcome:
        self._question = generation.questions.get(pair, "")
        if pair in _skipped(generation, self.answers):
            return Outcome(*pair)
        (outcome,) = self._inner.outcomes(generation.proposal, key, [pair])
        return replace(outcome, retried=0)  # a failed try was not repeated

    def _answered(self, values: Mapping[str, Any], seed: int) -> Answer:
        held = self.answers.held[self._question]
        if held.status == "failed":
            raise Unusable(held.reason or "failed")
        return Answer.read(held.numbers)

    def _announce(self, generation: AskedGeneration, pair: Pair) -> None:
        """Say what is to be tried."""
        say, answers, question = self.prompt.say, self.answers, generation.questions[pair]
        aside = len(set(answers.held) - self._told - set(generation.questions.values()))
        if aside > self._aside:
            say(f"\n  tries that are set aside, as they are not asked for now: {aside}")
        self._aside = aside
        n = answers.tries[question].number if question in answers.tries else len(answers.tries) + 1
        counted = self.tries and generation.proposal.purpose != "report"
        most = f" of at most {self.tries + aside}" if self.tries and counted else ""
        say(f"\ntry {n}{most} ({_label(generation, pair, self._generations['search'])}):")
        for line in _named(self.space, self.space.named(generation.proposal.params[pair[0]])):
            say(f"  {line}")

    def _obey(self, line: str, pair: Pair | None) -> None:
        """Do what was typed; say why if that is refused."""
        word, words = _parted(line)
        does: dict[str, Callable[[str], None]] = {
            "failed": lambda reason: self._tried("failed", pair, reason=reason),
            "skip": lambda reason: self._skip(pair, reason),
            "amend": self._amend,
            "finish": lambda _: self.answers.note(
                "finish", {"phase": _finishing(self._open, self.answers, self._told)}
            ),
            "undo": lambda _: self._undo(),
            "note": lambda text: self.answers.note("note", {"text": text}),
            "table": lambda _: self.prompt.say(self._table()),
            "stop": stop,
            "help": lambda _: self.prompt.say(HELP),
        }
        try:
            reply = parsed(word, does, EXPECTED)
            if isinstance(reply, Command):
                does[reply.name](words)
            elif isinstance(reply, float):
                self._measured(line, pair)
            else:
                raise refused(word, EXPECTED)
        except ValueError as error:
            self.prompt.say(f"  {error}")

    def _measured(self, line: str, pair: Pair | None) -> None:
        numbers, rest = read(line)
        if rest:
            raise ValueError(f"expected {' '.join(VALUE)}, got {rest!r} after it")
        if _is_meant(self.prompt, self.answers, numbers["return"], _parted(line)[0]):
            self._tried("answer", pair, numbers=numbers)

    def _skip(self, pair: Pair | None, reason: str) -> None:
        generation = self._open
        if pair and generation and not generation.may_skip(pair, _skipped(generation, self.answers)):
            raise ValueError(
                f"skip: expected at least half of {len(generation.proposal.params)} candidates to be tried; "
                "try it, or type failed"
            )
        self._tried("skip", pair, reason=reason)

    def _tried(self, kind: str, pair: Pair | None, *, reason: str = "", **more: Any) -> None:
        if pair is None or self._open is None:
            raise ValueError("nothing is asked now; amend N VALUE changes a try, undo takes one back")
        values = self.space.named(self._open.proposal.params[pair[0]])
        body = {"question": self._open.questions[pair], "values": values, "reason": reason, **more}
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
        if _is_meant(self.prompt, self.answers, numbers["return"], _parted(rest)[0], besides=question):
            before = self.answers.held[question]
            self.answers.note("amend", {"question": question, "numbers": numbers, "reason": reason})
            self.prompt.say(f"  try {which}: {self.answers.held[question]}, before {before}")
            self._changed(question)

    def _undo(self) -> None:
        if self.answers.last is None:
            raise ValueError("undo: there is nothing to take back")
        kind, body = self.answers.last
        if kind == "finish":
            self.answers.note("undo", {})
            raise Rebuild
        tried = self.answers.held[body["question"]]
        self.answers.note("undo", {})
        self.prompt.say(f"  taken back: {'amend' if kind == 'amend' else tried}, of try {tried.number}")
        self._changed(body["question"])

    def _changed(self, question: str) -> None:
        if question in self._told:
            raise Rebuild

    def _table(self) -> str:
        asked = self._told | set(self._open.questions.values() if self._open else ())
        return self.answers.table(self.space, asked)


def _questions(proposal: Proposal, number: int, space: Space, function: FunctionEvaluator) -> AskedGeneration:
    """The questions of a proposal, without those of candidates that break a constraint."""
    of = digest(replace(proposal, recommendation=proposal.params[0]))  # whatever would be deployed
    broken = [bool(function.broken(space.named(params))) for params in proposal.params]
    pairs = [(i, j) for i, j in _order(proposal) if not broken[i]]
    return AskedGeneration.of(proposal, number, of, pairs, proposal.purpose)


def _ended(proposal: Proposal, answers: Answers) -> bool:
    """Whether the person has ended the search to which a proposal belongs."""
    return proposal.purpose != "report" and "search" in answers.finished


def _is_checked(proposal: Proposal, answers: Answers) -> bool:
    """Whether it is the check, and the person has ended it."""
    return proposal.purpose == "report" and "report" in answers.finished


def _finishing(generation: AskedGeneration | None, answers: Answers, told: Collection[str]) -> str:
    """The phase that the person may end now.

    Raises:
        ValueError: if there is none.
    """
    if generation is None:
        raise ValueError("finish: nothing is asked now; Enter ends")
    if generation.proposal.purpose != "report":
        if not told:
            raise ValueError("finish: expected one complete generation, got none; stop ends for now")
        return "search"
    tried = {i for (i, _), question in generation.questions.items() if question in answers.held}
    if len(tried) < len(generation.proposal.params):
        raise ValueError("finish: expected the recommendation and the start to be tried; stop ends for now")
    return "report"


def _skipped(generation: AskedGeneration, answers: Answers) -> list[Pair]:
    """The pairs without a value: skipped, or left out by who has ended the check."""
    held, left = answers.held, _is_checked(generation.proposal, answers)
    pairs = generation.questions.items()
    return [pair for pair, q in pairs if (held[q].status == "skipped" if q in held else left)]


def _is_meant(prompt: Prompt, answers: Answers, value: float, typed: str, besides: str = "") -> bool:
    """Whether a value is plausible, or is typed again."""
    known = [tried.value for question, tried in answers.held.items() if question != besides]
    return prompt.is_meant(doubt(value, [x for x in known if math.isfinite(x)]), typed)


def asked(search: Callable[[AskEvaluator], T], evaluator: AskEvaluator) -> T:
    """What `search` finds with `evaluator`, run again from its beginning whenever an answer has changed.

    At the end the person may still correct what was typed.

    Raises:
        Stopped: if the person ends before that.
        EOFError: if no further line comes.
    """
    while True:
        evaluator.restart()
        try:
            found = search(evaluator)
            evaluator.finish()
        except Rebuild:
            continue
        return found


def _named(space: Space, values: Mapping[str, Any]) -> list[str]:
    """A line per parameter: name, value and unit."""
    texts = {name: formatted(value) for name, value in values.items()}
    widths = max(map(len, texts)), max(map(len, texts.values()))
    return [f"{p.name:{widths[0]}}  {texts[p.name]:>{widths[1]}} {p.unit}".rstrip() for p in space.parameters]


def _label(generation: AskedGeneration, pair: Pair, searched: int) -> str:
    """What a question is about, after so many generations of the search."""
    (i, j), proposal = pair, generation.proposal
    n, k = len(proposal.params), proposal.episodes
    repeat = f", measurement {j + 1} of {k}" if k > 1 else ""
    if proposal.purpose == "report":
        order = "" if generation.number or i + j else "; they take turns, so that a drift favours neither"
        return f"check: {('the recommendation', 'the start')[i]}{repeat}{order}"
    if proposal.purpose == "re-evaluation":
        return f"generation {searched}, once more, to see the noise: {i + 1} of {n}{repeat}"
    return f"generation {generation.number + 1}, candidate {i + 1} of {n}{repeat}"


def _order(proposal: Proposal) -> list[Pair]:
    """Candidate after candidate; for the final check, all in turn, every other time backwards: R S S R …."""
    n, k = len(proposal.params), proposal.episodes
    if proposal.purpose == "report":
        return [(i, j) for j in range(k) for i in (range(n) if j % 2 == 0 else reversed(range(n)))]
    return proposal.pairs


def _parted(text: str) -> tuple[str, str]:
    """The first word, and what follows it."""
    word, rest = (*text.split(None, 1), "", "")[:2]
    return word, rest
