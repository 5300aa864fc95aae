"""Inequalities between named parameters."""

import ast
import itertools
import math
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.constraints import MAX_DEPTH, Constraint

NAMES = ("kp", "kd", "größe")
VALUES = {"kp": 4.0, "kd": 1.5, "größe": -2.0}


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("kd <= kp / 2", 0.0),
        ("kd <= kp / 4", 0.5),
        ("kp / 4 >= kd", 0.5),
        ("kd >= kp / 4", 0.0),
        ("kp <= 4", 0.0),
        ("kp < 4", math.ulp(0.0)),
        ("kp > 4", math.ulp(0.0)),
        ("4 >= kp", 0.0),
        ("0 < kd < kp", 0.0),
        ("kp < kd < 1", 2.5),  # 4 − 1.5; 1.5 − 1 is less
        ("kp + kd * 2 - 1 <= 6", 0.0),
        ("(kp + kd) * 2 - 1 <= 6", 4.0),
        ("kd ** 2 ** 1 <= 2.25", 0.0),
        ("-kd ** 2 <= -2.25", 0.0),
        ("+kd <= 1", 0.5),
        ("min(kp, kd, 9) >= 2", 0.5),
        ("max(kp, kd) <= 1", 3.0),
        ("abs(größe) <= 1", 1.0),
        (" kd\n <=  1e0 ", 0.5),
    ],
)
def test_a_violation_is_how_far_the_sides_are_on_the_wrong_side(text: str, violation: float) -> None:
    constraint = Constraint.parse(text, NAMES)
    assert constraint.violation(VALUES) == violation
    assert constraint.holds(VALUES) == (violation == 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "1 / (kp - 4) <= 5",
        "kp / 0 > 1",
        "(größe) ** 0.5 <= 9",  # not real
        "0 ** größe > 1",
        "1e300 * 1e300 > kp",  # infinite
        "kp ** 1e9 > 1",
        "10 ** 10 ** 10 > 1",  # and this at once
        "-1e300 * 1e300 < 1e300 * 1e300",
    ],
)
def test_what_cannot_be_computed_does_not_hold(text: str) -> None:
    constraint = Constraint.parse(text, NAMES)
    assert not constraint.holds(VALUES)
    assert constraint.violation(VALUES) == math.inf


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_constraint_holds_of_what_is_not_a_number(value: float) -> None:
    assert not Constraint.parse("kp > 0", NAMES).holds({"kp": value})
    assert not Constraint.parse("kp < 0", NAMES).holds({"kp": value})


@pytest.mark.parametrize(
    ("text", "message", "marked"),
    [
        ("kd <= ki / 2", "expected one of the parameters kp, kd, größe, got 'ki'", "ki"),
        ("größe + ki < 2", "expected one of the parameters", "ki"),
        ("kp / 2", "expected a comparison such as kd <= kp / 2, got 'kp / 2'", "kp / 2"),
        ("kd == kp", "expected comparisons by <, <=, > or >=", "kd == kp"),
        ("kd < kp in kp", "expected comparisons by", "kd < kp in kp"),
        ("kd < 1 and kp < 2", "expected a comparison", "kd < 1 and kp < 2"),
        (
            "kd <= sin(kp)",
            "expected numbers, parameters, + - * / **, min, max and abs only, got 'sin(kp)'",
            "sin(kp)",
        ),
        ("kd <= kp % 2", "and abs only, got 'kp % 2'", "kp % 2"),
        ("kd <= kp // 2", "and abs only", "kp // 2"),
        ("kd <= kp.real", "and abs only", "kp.real"),
        ("kd <= kp[0]", "and abs only", "kp[0]"),
        ("kd <= (kp < 2)", "and abs only", "kp < 2"),
        ("kd <= 'a'", "and abs only", "'a'"),
        ("kd <= True", "and abs only", "True"),
        ("kd <= 2j", "and abs only", "2j"),
        ("kd <= ~2", "and abs only", "~2"),
        ("kd <= min(*kp, 1)", "and abs only", "*kp"),
        ("kd <= min(kp, 1, key=2)", "and abs only", "min(kp, 1, key=2)"),
        ("kd <= max(kp)", "max: expected two or more numbers, got 1", "max(kp)"),
        ("kd <= abs(kp, 1)", "abs: expected one number, got 2", "abs(kp, 1)"),
        ("kd <= 1e301", "expected a number up to 1e300", "1e301"),
        ("kd <= __import__('os').system('true')", "and abs only", "__import__('os').system('true')"),
        ("(lambda: 1)() < kd", "and abs only", "(lambda: 1)()"),
        ("kd <= <= kp", "invalid syntax, got '<", "<"),
        ("kd <= (kp", "'(' was never closed", "("),
        ("kd; kp < 1", "invalid syntax", ";"),
        ("", "got 'its end'", ""),
    ],
)
def test_what_is_not_of_the_language_is_refused_where_it_is(text: str, message: str, marked: str) -> None:
    with pytest.raises(ValueError, match="constraint: ") as caught:
        Constraint.parse(text, NAMES)
    first, line, marks = str(caught.value).split("\n")
    assert message in first
    assert line.strip() == text
    place = slice(marks.index("^"), len(marks))
    assert line[place].startswith(marked)


@pytest.mark.parametrize(
    "text", ["kp < 1\0", "(" * 5000 + "1", "-" * 5000 + "1 < kp", "kp" + "+1" * 5000 + " < 1"]
)
def test_what_no_person_writes_is_refused_and_breaks_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="constraint: "):
        Constraint.parse(text, NAMES)


def test_a_constraint_is_read_as_deep_as_is_allowed_and_no_deeper() -> None:
    assert Constraint.parse("kp < " + "-" * (MAX_DEPTH - 1) + "9", NAMES).violation(VALUES) == 13.0
    with pytest.raises(ValueError, match="at most 100 nested operations"):
        Constraint.parse("kp < " + "-" * MAX_DEPTH + "9", NAMES)


def test_a_name_is_taken_as_it_is_written() -> None:
    micro = "µ"  # Python itself would read the Greek letter, another character
    assert ast.parse(micro, mode="eval").body.id != micro  # type: ignore[attr-defined]
    assert Constraint.parse(f"{micro} < 1", [micro]).holds({micro: 0.5})


ODD = {"lambda": 4.0, "pid.kp": 1.5, "K p": -2.0, "µ·s": 0.5, "kp": 3.0, "if": 1.0, "pid": 7.0}


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("lambda <= 5", 0.0),
        ("pid.kp <= lambda", 0.0),
        ("lambda * pid.kp <= 5", 1.0),
        ("`K p` >= 1", 3.0),
        ("min(`K p`, pid.kp, lambda, kp) >= 0", 2.0),
        ("`µ·s` + `K p`>=-1.25", 0.25),
        ("`lambda` <= `pid.kp`", 2.5),
        ("2 * if <= pid.kp", 0.5),
        ("pid <= 6.5 # lambda and pid.kp", 0.5),
        ("kp ≤ 2.5", 0.5),
        ("4 ≥ kp ≥ 3.5", 0.5),
    ],
)
def test_parameters_of_whatever_name_are_compared(text: str, violation: float) -> None:
    assert Constraint.parse(text, list(ODD)).violation(ODD) == violation


@pytest.mark.parametrize(
    ("text", "message", "marked"),
    [
        ("`K i` <= 3", "expected one of the parameters lambda, pid.kp, `K p`, `µ·s`, kp, if, pid, got '`K i`'", "`K i`"),
        ("`µ·s` + lambda <= ki", "expected one of the parameters", "ki"),
        ("``<3", "expected one of the parameters", "``"),
        ("pid.ki <= 3", "and abs only, got 'pid.ki'", "pid.ki"),
        ("K p <= 3", "write * between factors, and `K p` for a name that is not one word, got 'p'", "p"),
        ("2 kp <= 3", "write * between factors", "k"),
        ("2kp <= 3", "write * between factors", ""),
        ("kp == 1", "; hold a parameter by equal bounds, and compute those that depend on others, got 'kp == 1'", "kp == 1"),
        ("kp != 1", "; hold a parameter by equal bounds", "kp != 1"),
        ("kp = 1", "; hold a parameter by equal bounds", ""),
        ("kp => 1", "; write <= or >=", ""),
        ("kp =< 1", "; write <= or >=", ""),
        ("kp <= 2 and pid <= 3", "; write two constraints", "kp <= 2 and pid <= 3"),
        ("(kp <= 2) & (pid <= 3)", "; write two constraints", ""),
        ("kp < 5 or pid < 1", "; let the function report a violation", "kp < 5 or pid < 1"),
        ("not kp > 3", "; write the opposite comparison, as kp <= 3 for not kp > 3", "not kp > 3"),
        ("kp^2 <= 3", "; write ** for powers, got 'kp^2'", "kp^2"),
        ("kp <= 3,5", "; write decimal numbers with a point", "kp <= 3,5"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_language_is_refused_with_what_to_write(
    text: str, message: str, marked: str
) -> None:
    with pytest.raises(ValueError, match="constraint: ") as caught:
        Constraint.parse(text, list(ODD))
    first, line, marks = str(caught.value).split("\n")
    assert message in first
    assert line[marks.index("^") :].startswith(marked)


def test_constraints_travel_to_other_processes_and_show_what_was_written() -> None:
    constraint = Constraint.parse("kd  <= kp / 4", NAMES)
    assert pickle.loads(pickle.dumps(constraint)).violation(VALUES) == 0.5  # noqa: S301
    assert repr(constraint) == "Constraint(text='kd <= kp / 4')"


def expressions() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["kp", "kd", "2", "0.5", "7"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
            inner.map(lambda part: f"-{part}"),
            st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
            inner.map(lambda part: f"abs({part})"),
        ),
        max_leaves=8,
    )


@settings(deadline=None)
@given(
    expressions(), st.sampled_from(["<", "<=", ">", ">="]), expressions(), st.floats(-9, 9), st.floats(-9, 9)
)
def test_it_is_computed_as_python_would(left: str, by: str, right: str, kp: float, kd: float) -> None:
    values, text = {"kp": kp, "kd": kd}, f"{left} {by} {right}"
    decimal = re.sub(r"(?<![.\d])(\d+)(?!\.|\d)", r"\1.0", text)  # whole numbers are floats to us
    try:
        expected = eval(decimal, {}, values)  # noqa: S307
        sides = [eval(side, {}, values) for side in re.split("<=?|>=?", decimal)]  # noqa: S307
        expected = expected and all(map(math.isfinite, sides))
    except ZeroDivisionError:
        expected = False
    constraint = Constraint.parse(text, NAMES)
    assert constraint.holds(values) == expected
    assert (constraint.violation(values) > 0) == (not expected)


def test_a_chain_holds_if_all_its_links_do() -> None:
    chain = Constraint.parse("a < b < c", "abc")
    for a, b, c in itertools.product(range(3), repeat=3):
        assert chain.holds({"a": a, "b": b, "c": c}) == (a < b < c)
