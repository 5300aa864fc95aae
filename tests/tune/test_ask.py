"""A person who types what was measured, makes mistakes, corrects them, ends and continues."""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.asking.answers import LoggedEvent
from policysearch.asking.prompt import Prompt, Stopped
from policysearch.core import Evaluation, Optimizer, Proposal
from policysearch.ledger import Ledger, LedgerError
from policysearch.optimizers import CMAES, HillClimbing, NelderMead, Repeated
from policysearch.plain_data import decode, encode
from policysearch.search import Budget, SearchFailed, generations
from policysearch.space import Choice, Parameter, Space
from policysearch.tune.ask import COMMANDS, AskEvaluator, asked
from policysearch.tune.tries import KINDS, Answers, doubt

SPACE = Space(
    (
        Parameter("stiffness", 1.0, 0.1, 100.0, "N/m", "log"),
        Parameter("kd", 0.0, 0.0, 10.0),
        Parameter("window", 3, 1, 9, "ms", integer=True),
    )
)
METHODS: dict[str, Optimizer] = {
    "cma-es": CMAES(population_size=6),
    "noise handling": CMAES(population_size=6, noise_handling=True),
    "hill-climbing": HillClimbing(neighbours=3),
    "nelder-mead": NelderMead(),
    "two episodes": Repeated(CMAES(population_size=3), 2),
}
BUDGET, CHECKS = 14, 2


def cost(values: Mapping[str, Any]) -> float:
    """What the machine shows, between 50 and some hundreds, for values as they are read from the screen."""
    return 50.0 + np.log(values["stiffness"] / 20.0) ** 2 + (values["kd"] - 3.0) ** 2 + values["window"]


class Person:
    """Reads what is said, and types.

    Args:
        typed: makes the next line from the prompt and the last announced values.
    """

    def __init__(self, typed: Callable[["Person", str], str | None]) -> None:
        self._typed, self.said = typed, list[str]()
        self.tries: list[tuple[int, dict[str, float]]] = []  # as announced: numbers and values

    def prompt(self) -> Prompt:
        return Prompt(self.read, self.say)

    def read(self, prompt: str) -> str:
        self.said.append(prompt)
        line = self._typed(self, prompt)
        if line is None:
            raise EOFError
        self.said.append(line)
        return line

    def say(self, line: str) -> None:
        self.said.append(line)
        if found := re.match(r"\ntry (\d+)\b", line):
            self.tries.append((int(found[1]), {}))
        elif self.tries and (found := re.match(r"  (\w+) +(\S+)(?: (?:N/m|ms))?$", line)):
            self.tries[-1][1][found[1]] = float(found[2])

    @property
    def right(self) -> str:
        """What the machine shows now."""
        return f"{cost(self.tries[-1][1]):.4f}"


def careful(person: Person, prompt: str) -> str:
    return "" if "Enter ends" in prompt else person.right


def typing(*lines: str) -> Callable[[Person, str], str | None]:
    """Somebody who types these lines, and no more."""
    left = deque(lines)
    return lambda person, prompt: left.popleft() if left else None


def tuning(
    method: Optimizer, checks: int = CHECKS, budget: int = BUDGET
) -> Callable[[AskEvaluator], np.ndarray]:
    """A search, and the final check of its recommendation and the start."""

    def search(evaluator: AskEvaluator) -> np.ndarray:
        best = SPACE.domain.start
        for turn in generations(method, evaluator, SPACE.domain, budget=Budget(budget), seed=3):
            best = turn.recommendation
        if checks:
            both = np.array([best, SPACE.domain.start])
            evaluator.evaluate(Proposal(both, best, checks, purpose="report"), (3, "report"))
        return best

    return search


def evaluator(person: Person, events: Sequence[LoggedEvent] = (), **options: Any) -> AskEvaluator:
    return AskEvaluator(SPACE, person.prompt(), goal="minimise", answers=Answers(events), **options)


def in_force(answers: Answers) -> dict[str, Mapping[str, float]]:
    return {question: tried.numbers for question, tried in answers.held.items()}


def calm(search: Callable[[AskEvaluator], np.ndarray]) -> tuple[np.ndarray, AskEvaluator]:
    """A tuning in which nothing wrong was typed."""
    by = evaluator(Person(careful))
    return asked(search, by), by


class Slipping:
    """Types wrong values and makes other mistakes as told, and has corrected all of them at the end."""

    def __init__(self, slips: Sequence[str]) -> None:
        self._slips, self._next = deque(slips), deque[str]()
        self._wrong: dict[int, str] = {}  # what should have been typed for these tries
        self.lines: list[str] = []

    def __call__(self, person: Person, prompt: str) -> str:
        line = self._next.popleft() if self._next else self._line(person, prompt)
        self.lines.append(line)
        return line

    def _line(self, person: Person, prompt: str) -> str:
        number, right = person.tries[-1][0], person.right
        if "Enter ends" in prompt:
            if not self._wrong:
                return ""
            number, right = self._wrong.popitem()
            return f"amend {number} {right} a slip"
        return self._slip(self._slips.popleft() if self._slips else "", person, number, right)

    def _slip(self, slip: str, person: Person, number: int, right: str) -> str:
        wrong = f"{0.5 * float(right):.3f}"
        if slip == "undone":
            self._next.append("undo")
            return wrong
        if slip == "amended later" or (slip == "failed" and number not in self._wrong):
            self._wrong[number] = right
            return wrong if slip == "amended later" else "failed by mistake"
        if slip == "amendment undone" and number > 1:
            self._next.append("undo")
            return f"amend {max(1, number // 2)} {wrong}"
        if slip == "skipped and undone" and "candidate 1 of 6" in "".join(person.said[-6:]):
            self._next.append("undo")
            return "skip"
        if slip in ("nonsense", "1,5", "nan", "table", "note it rains"):
            return slip
        self._wrong.pop(number, None)  # asked again, and right this time
        return right


SLIPS = (
    "undone", "amended later", "amendment undone", "failed", "skipped and undone", "nonsense", "1,5", "nan", "table",
    "note it rains", "",
)  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=4, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(SLIPS), min_size=8, max_size=14))
def test_a_tuning_full_of_slips_that_were_corrected_ends_like_one_without(
    name: str, slips: list[str]
) -> None:
    expected, without = calm(tuning(METHODS[name]))
    with_slips = evaluator(Person(Slipping(slips)))
    found = asked(tuning(METHODS[name]), with_slips)
    assert found.tobytes() == expected.tobytes()
    assert in_force(without.answers).items() <= in_force(with_slips.answers).items()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.nightly] * (name != "nelder-mead")) for name in METHODS],
)
def test_a_tuning_that_was_killed_after_any_event_continues_where_it_was(name: str) -> None:
    slips = ("undone", "amended later", "amended later", "failed", "amendment undone", "note it rains")
    slipping = Slipping(slips)
    whole = evaluator(Person(slipping))
    at: list[int] = []  # how many lines were typed when an event was written
    whole.answers = Answers(write=lambda kind, body: at.append(len(slipping.lines)))
    search = tuning(METHODS[name], checks=1, budget=12)
    found = asked(search, whole)
    expected, _ = calm(search)
    assert found.tobytes() == expected.tobytes()
    events = [(kind, decode(encode(body))) for kind, body in whole.answers.events]
    assert {kind for kind, _ in events} == {*KINDS} - {"finish"} - {"skip"}
    for n in range(len(events)):
        rest = slipping.lines[at[n - 1] if n else 0 :]
        again = evaluator(Person(typing(*rest)), events[:n])
        assert asked(search, again).tobytes() == found.tobytes()
        assert again.answers.events == events


def test_nothing_is_asked_again_when_all_is_known_and_the_end_of_the_lines_ends_quietly() -> None:
    found, by = calm(tuning(METHODS["cma-es"]))
    person = Person(typing())
    again = evaluator(person, by.answers.events)
    assert asked(tuning(METHODS["cma-es"]), again).tobytes() == found.tobytes()
    assert person.said == ["\n  Enter ends; amend, undo and the others still work > "]


def test_what_was_typed_is_what_the_search_is_told_with_the_sign_of_the_goal() -> None:
    proposal = Proposal(np.tile(SPACE.domain.start, (3, 1)), SPACE.domain.start)
    by = evaluator(Person(typing("12.5 overshoot=4", "failed it fell", "13 violation=2 steps=7")))
    evaluation = by.evaluate(proposal, ())
    np.testing.assert_array_equal(evaluation.returns[:, 0], [-12.5, np.nan, np.nan])
    np.testing.assert_array_equal(evaluation.metrics["overshoot"][:, 0], [4.0, np.nan, np.nan])
    assert evaluation.steps[:, 0].tolist() == [1, 1, 7]
    assert [f.reason for f in evaluation.failures] == ["it fell", "it reports a violation of 2"]
    assert evaluation.retried_rollouts == 0
    assert evaluation.unmeasured == ()


def test_parameters_that_break_a_constraint_fail_without_a_question() -> None:
    params = np.array([SPACE.of_names({"stiffness": s, "kd": 1.0, "window": 3}) for s in (2.0, 0.5)])
    person = Person(typing("7"))
    evaluation = evaluator(person, constraints=["kd <= stiffness"]).evaluate(Proposal(params, params[0]), ())
    np.testing.assert_array_equal(evaluation.returns[:, 0], [-7.0, np.nan])
    assert evaluation.failures[0].reason.startswith("not run, as the parameters break kd <= stiffness")
    assert [number for number, _ in person.tries] == [1]


def skipping(episodes: int, purpose: str, *lines: str) -> tuple[Evaluation, list[str]]:
    person = Person(typing(*lines))
    params = np.tile(SPACE.domain.start, (2, 1))
    return evaluator(person).evaluate(Proposal(params, params[0], episodes, purpose=purpose), ()), person.said


def test_a_skipped_candidate_is_unmeasured_and_a_skipped_episode_counts_like_the_others() -> None:
    evaluation, _ = skipping(1, "search", "skip too loud", "5")
    assert evaluation.unmeasured == (0,)
    assert evaluation.failures == ()
    evaluation, _ = skipping(3, "search", "4", "skip", "6", "skip", "failed", "7")
    np.testing.assert_array_equal(evaluation.returns, [[-4, -5, -6], [np.nan, np.nan, -7]])
    assert evaluation.unmeasured == ()
    assert evaluation.steps.tolist() == [[1, 0, 1], [0, 1, 1]]


def test_a_skipped_measurement_of_the_final_check_is_not_made_up() -> None:
    evaluation, _ = skipping(2, "report", "4", "skip", "5", "6")
    np.testing.assert_array_equal(evaluation.returns, [[-4, -6], [np.nan, -5]])


def test_at_least_half_of_the_candidates_have_to_be_tried() -> None:
    evaluation, said = skipping(1, "search", "skip", "skip", "5")
    assert "  skip: expected at least half of 2 candidates to be tried; try it, or type failed" in said
    assert evaluation.unmeasured == (0,)
    evaluation, said = skipping(2, "search", "skip", "skip", "skip", "skip", "5")
    assert evaluation.unmeasured == (0,)
    assert evaluation.returns[1].tolist() == [-5.0, -5.0]


def test_the_recommendation_and_the_start_take_turns_in_the_final_check() -> None:
    person = Person(typing("1", "2", "3", "4", "5", "6"))
    params = np.array([SPACE.domain.lower, SPACE.domain.start])
    evaluation = evaluator(person).evaluate(Proposal(params, params[0], 3, purpose="report"), ())
    assert [values["stiffness"] for _, values in person.tries] == [0.1, 1.0, 1.0, 0.1, 0.1, 1.0]
    assert evaluation.returns.tolist() == [[-1.0, -4.0, -5.0], [-2.0, -3.0, -6.0]]
    said = "\n".join(person.said)
    assert (
        "try 1 (check: the recommendation, measurement 1 of 3; they take turns, so that a drift favours neither)"
        in said
    )
    assert "try 3 (check: the start, measurement 2 of 3):" in said


def test_a_question_shows_its_number_generation_values_and_units() -> None:
    space = Space((Parameter("kp", 1.0, 0.5, 100.0, "N·m/rad"), Choice("filter", ("none", "median"), "none")))
    said: list[str] = []
    by = AskEvaluator(space, Prompt(lambda prompt: "1", said.append), tries=60)
    params = np.array([space.domain.start, space.of_names({"kp": 12.345678, "filter": "median"})])
    by.evaluate(Proposal(params, params[0], 2), ())
    by.evaluate(Proposal(params, params[0], purpose="re-evaluation"), ())
    by.evaluate(Proposal(params, params[0], purpose="report"), ())
    assert said[3:6] == [
        "\ntry 2 of at most 60 (generation 1, candidate 1 of 2, measurement 2 of 2):",
        "  kp         1 N·m/rad",
        "  filter  none",
    ]
    assert said[7:9] == ["  kp      12.346 N·m/rad", "  filter  median"]
    assert said[-3] == "\ntry 8 (check: the start):"
    assert said[15] == "\ntry 6 of at most 60 (generation 1, once more, to see the noise: 2 of 2):"


def test_generations_with_the_same_parameters_are_different_questions() -> None:
    proposal = Proposal(SPACE.domain.start[None], SPACE.domain.start)
    by = evaluator(Person(typing("1", "2", "amend 1 5", "7")))
    assert [by.evaluate(proposal, ()).returns[0, 0] for _ in range(2)] == [-1.0, -2.0]
    assert [tried.number for tried in by.answers.held.values()] == [1, 2]


def test_an_answer_holds_whatever_would_be_deployed() -> None:
    params = SPACE.domain.start[None]
    by = evaluator(Person(typing("1")))
    by.evaluate(Proposal(params, params[0]), ())
    by.restart()
    assert by.evaluate(Proposal(params, params[0] + 0.1), ()).returns.tolist() == [[-1.0]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["nan"], "expected a number, or a command (help lists them), got 'nan'"),
        ([""], "expected a number, or a command (help lists them), got nothing"),
        (["1,5"], "got '1,5'; the decimal sign is a point, and thousands are not separated"),
        (["12 N"], "expected VALUE [NAME=NUMBER ...], got 'N' after it"),
        (["12 overshoot=high"], "expected a number after overshoot=, got 'high'"),
        (["12 a=1 a=2"], "expected another NAME=NUMBER, got a=2"),
        (["12 return=2"], "expected another NAME=NUMBER, got return=2"),
        (["12 steps=0.5"], "steps: expected a whole number, 0 or more, got 0.5"),
        (["faild"], "did you mean failed?"),
        (["README.md"], "expected a number, or a command (help lists them), got 'README.md'"),
        (["undo"], "undo: there is nothing to take back"),
        (["amend 1 5"], "expected the number of a try in force (table shows them), got '1'"),
        (["5", "undo", "amend 1 5"], "expected the number of a try in force (table shows them), got '1'"),
        (["5", "amend 1"], "expected amend N VALUE [REASON], got 'amend 1'"),
        (["5", "amend 1 5,1"], "expected a number, got '5,1'; the decimal sign is a point"),
        (["5", "amend one 5"], "expected the number of a try in force (table shows them), got 'one'"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_in_words_and_nothing_is_written(
    lines: list[str], message: str
) -> None:
    person = Person(typing(*lines))
    by = evaluator(person)
    with pytest.raises(EOFError):
        by.evaluate(Proposal(np.tile(SPACE.domain.start, (3, 1)), SPACE.domain.start), ())
    assert any(message in line for line in person.said)
    assert len(by.answers.events) == len(lines) - 1
    assert COMMANDS.keys() >= {"failed", "skip", "amend", "undo", "note", "table", "stop", "help"}


def test_at_the_end_a_value_answers_no_question() -> None:
    person = Person(typing("5", "skip", "6"))
    by = evaluator(person)
    asked(lambda e: e.evaluate(Proposal(SPACE.domain.start[None], SPACE.domain.start), ()), by)
    refused = "  nothing is asked now; amend N VALUE changes a try, undo takes one back"
    assert person.said.count(refused) == 2
    assert len(by.answers.events) == 1


def test_an_implausible_value_counts_when_it_is_typed_again() -> None:
    lines = [
        "10", "20", "30", "40", "39", "401", "41", "401 a=1", "401", "amend 6 402", "402", "-3", "-3",
        "amend 1 9999", "no", "amend 1 9999", "9999",
    ]  # fmt: skip
    person = Person(typing(*lines))
    by = evaluator(person)
    with pytest.raises(EOFError):
        by.evaluate(Proposal(np.tile(SPACE.domain.start, (9, 1)), SPACE.domain.start), ())
    assert [tried.value for tried in by.answers.held.values()] == [9999, 20, 30, 40, 39, 402, -3]
    large = "is more than 10 times larger than any before; if it is right, type"
    assert [line for line in person.said if "if it is right" in line] == [
        *[f"  401 {large} 401"] * 2,
        f"  402 {large} 402",
        "  -3 has another sign than all before; if it is right, type -3",
        *[f"  9999 {large} 9999"] * 2,
    ]
    assert person.said.count("  not '401': nothing is written") == 1


@pytest.mark.parametrize(
    ("value", "known", "is_doubted"),
    [
        (101.0, [1.0, -10.0, 3.0, 4.0, 5.0], True),
        (-101.0, [1.0, -10.0, 3.0, 4.0, 5.0], True),
        (100.0, [1.0, -10.0, 3.0, 4.0, 5.0], False),
        (101.0, [1.0, 10.0, 3.0, 4.0], False),
        (-1.0, [1.0, 10.0, 3.0, 4.0, 5.0], True),
        (-1.0, [1.0, 10.0, 0.0, 4.0, 5.0], False),
        (0.0, [1.0, 10.0, 2.0, 4.0, 5.0], False),
        (1.0, [0.0] * 5, True),
    ],
)
def test_ten_times_larger_or_another_sign_is_doubted_from_five_values_on(
    value: float, known: list[float], is_doubted: bool
) -> None:
    assert bool(doubt(value, known)) == is_doubted


def test_an_amendment_keeps_what_else_was_measured_and_can_be_taken_back() -> None:
    by = evaluator(
        Person(
            typing("5 overshoot=4 energy=2", "failed", "amend 1 6 overshoot=3 read a=b", "amend 2 7", "undo")
        )
    )
    with pytest.raises(EOFError):
        by.evaluate(Proposal(np.tile(SPACE.domain.start, (3, 1)), SPACE.domain.start), ())
    first, second = by.answers.held.values()
    assert (first.numbers, first.status, first.reason) == (
        {"return": 6.0, "overshoot": 3.0, "energy": 2.0},
        "amended",
        "read a=b",
    )
    assert (second.numbers, second.status) == ({}, "failed")
    assert [kind for kind, _ in by.answers.events] == ["answer", "failed", "amend", "amend", "undo"]


def test_the_table_shows_the_status_of_every_try() -> None:
    method, person = METHODS["nelder-mead"], Person(careful)
    by = evaluator(person)
    asked(tuning(method, checks=0), by)
    events = by.answers.events[:6]
    person = Person(typing("amend 1 500", "9 a=1", "undo", "failed lost", "skip", "table", "stop"))
    by = evaluator(person, events)
    with pytest.raises(Stopped):
        asked(tuning(method), by)
    (table,) = (line for line in person.said if line.startswith("try  "))
    head, *rows = table.splitlines()
    assert head.split() == ["try", "stiffness", "(N/m)", "kd", "window", "(ms)", "value", "status"]
    assert [row.split()[0] for row in rows] == [str(n) for n in range(1, 8)]
    assert rows[0].split() == ["1", "1", "0", "3", "500", "amended"]
    assert rows[1].endswith("measured")
    assert rows[5].endswith("set aside")  # a simplex in which the start is the worst point goes elsewhere
    assert rows[6].endswith("failed lost")
    assert "\n  tries that are set aside, as they are not asked for now: 2" in person.said


def test_tries_that_are_set_aside_come_back_with_their_questions() -> None:
    method, person = METHODS["nelder-mead"], Person(careful)
    found, by = calm(tuning(method))
    person = Person(typing("amend 1 500", "undo", ""))
    again = evaluator(person, by.answers.events)
    assert asked(tuning(method), again).tobytes() == found.tobytes()
    assert len(person.tries) == 1  # the one that was asked for instead, and never answered


def test_every_answer_is_written_before_the_next_question_is_shown() -> None:
    person = Person(typing("5", "failed", "skip", "6"))
    write: Callable[[str, Any], None] = lambda kind, body: person.said.append(f"written: {kind}")  # noqa: E731
    by = AskEvaluator(SPACE, person.prompt(), answers=Answers(write=write))
    with pytest.raises(EOFError):
        by.evaluate(Proposal(np.tile(SPACE.domain.start, (9, 1)), SPACE.domain.start), ())
    marks = [line.split(" (")[0].strip() for line in person.said if re.match(r"\ntry|written", line)]
    assert marks == [
        "try 1", "written: answer", "try 2", "written: failed", "try 3", "written: skip", "try 4", "written: answer",
        "try 5",
    ]  # fmt: skip


def test_an_answer_that_could_not_be_written_is_not_known_and_no_further_one_is_accepted() -> None:
    full = [False, True, False]

    def write(kind: str, body: Any) -> None:
        if full.pop(0):
            raise LedgerError("disk full")

    by = AskEvaluator(SPACE, Person(typing("5", "6", "7")).prompt(), answers=Answers(write=write))
    proposal = Proposal(np.tile(SPACE.domain.start, (3, 1)), SPACE.domain.start)
    with pytest.raises(LedgerError, match="disk full"):
        by.evaluate(proposal, ())
    with pytest.raises(LedgerError, match="run the same command again"):
        by.evaluate(proposal, ())
    assert [body["numbers"] for _, body in by.answers.events] == [{"return": 5.0}]
    assert len(by.answers.held) == 1


def test_a_ledger_that_is_opened_again_answers_what_was_typed(tmp_path: Path) -> None:
    def session(*lines: str) -> AskEvaluator:
        with Ledger(tmp_path / "log.sqlite") as ledger:

            def write(kind: str, body: Any) -> None:
                ledger.append(kind, (), body)
                ledger.commit()

            answers = Answers([(event.kind, event.body) for event in ledger.events], write)
            by = AskEvaluator(SPACE, Person(typing(*lines)).prompt(), answers=answers)
            with pytest.raises((EOFError, Stopped)):
                asked(tuning(METHODS["cma-es"]), by)
            return by

    first = session("5 a=1", "note warm", "failed", "amend 1 6", "stop")
    second = session("undo", "7")
    assert second.answers.events[: len(first.answers.events)] == first.answers.events
    assert [str(tried) for tried in second.answers.held.values()] == ["5 a=1", "failed", "7"]


def test_a_search_in_which_all_fails_ends() -> None:
    person = Person(lambda person, prompt: None if "Enter ends" in prompt else "failed")
    with pytest.raises(SearchFailed, match="failed"):
        asked(tuning(METHODS["cma-es"], budget=60), evaluator(person))
    assert len(person.tries) == 18
