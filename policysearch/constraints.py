"""Inequalities between named parameters, such as `kd <= kp / 2` or `0 < low < high`.

The language is a small part of Python's: numbers, names, + - * / **, parentheses, min, max, abs, and a comparison
by <, <= (or ≤), > or >= (or ≥), which may be a chain. A name may be one of Python's words, as lambda is, or have
points, as in pid.kp; any other name is put between grave accents: `K p` <= 3. A constraint is read with the module
`ast` and computed by walking the tree; nothing is ever run. What cannot be computed as finite real numbers, such as a
division by zero, does not hold.

A constraint on what a rollout reports (`of_outputs`) is one comparison of any names, and may be an equality by ==,
which holds up to `TOLERANCE`.
"""

import ast
import keyword
import math
import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}
_COMPARISONS: dict[type, Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
#: By how much the sides of an equality may differ (choice); abs(speed - 1) <= 0.05 says another number.
TOLERANCE = 1e-3
MAX_DEPTH = 100  # of nested operations
_PLAIN = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"  # a name as it may stand in a constraint
_NAME = re.compile(rf"`([^`]*)`|(?<![\w.]){_PLAIN}")
_EQUAL = "hold a parameter by equal bounds, and compute those that depend on others"
#: What to do instead of what is not of the language.
_HINTS: dict[type, str] = {
    ast.Eq: _EQUAL,
    ast.NotEq: _EQUAL,
    ast.And: "write two constraints",
    ast.BitAnd: "write two constraints",
    ast.Or: "let the function report a violation",
    ast.BitOr: "let the function report a violation",
    ast.Not: "write the opposite comparison, as kp <= 3 for not kp > 3",
    ast.BitXor: "write ** for powers",
    ast.Tuple: "write decimal numbers with a point",
}
#: The same for what Python cannot read, by a pattern of the text.
_SYNTAX_HINTS = {
    r"=[<>]": "write <= or >=",
    r"[^<>=!]=[^=]": _EQUAL,
    r"\d\s*[^\W\d]|\)\s*[\w(]|\w\s+[^\W\d]": "write * between factors, and `K p` for a name that is not one word",
}


@dataclass(frozen=True)
class Constraint:
    """A comparison that the values of parameters have to satisfy; made by `parse`."""

    text: str
    tree: ast.Compare = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, names: Collection[str]) -> "Constraint":
        """The constraint that `text` says, of parameters called `names`.

        Raises:
            ValueError: for what is not of the language, pointing at its place in the text.
        """
        text = " ".join(text.split()).replace("≤", "<=").replace("≥", ">=")
        read = _NAME.sub(lambda name: _readable(name, names), text)
        try:
            tree = ast.parse(read, mode="eval").body
        except SyntaxError as error:
            column = min((error.offset or 1) - 1, len(text))
            hints = [hint for pattern, hint in _SYNTAX_HINTS.items() if re.search(pattern, read)]
            raise _refusal(text, "; ".join([error.msg, *hints[:1]]), column, column + 1) from None
        except (ValueError, RecursionError, MemoryError) as error:  # a zero byte; thousands of brackets
            raise _refusal(text[:60], f"it cannot be read ({type(error).__name__})", 0, 1) from None
        _as_written(tree, text, read)
        if not isinstance(tree, ast.Compare):
            raise _misplaced(text, tree, "expected a comparison such as kd <= kp / 2")
        if any(type(comparison) not in _COMPARISONS for comparison in tree.ops):
            raise _misplaced(text, tree, "expected comparisons by <, <=, > or >=")
        for side in (tree.left, *tree.comparators):
            _check(side, text, names, 1)
        return cls(text, tree)

    @classmethod
    def of_outputs(cls, text: str) -> "Constraint":
        """The constraint on metrics, whose names are not known yet.

        Raises:
            ValueError: for what is not of the language, or no single comparison.
        """
        read = cls.parse(text.replace("==", "<="), _AnyName())
        if len(read.tree.ops) != 1 or not read.names:
            raise ValueError(
                f"outputs: expected one comparison of reported values, as overshoot <= 0.1, got {text}"
            )
        if "==" not in text:
            return read
        read.tree.ops[0] = ast.Eq()
        return cls(" ".join(text.split()), read.tree)

    @property
    def names(self) -> list[str]:
        """The names in it, each once."""
        found = {node.col_offset: node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        return list(dict.fromkeys(found[place] for place in sorted(found) if found[place] not in _FUNCTIONS))

    @property
    def equality(self) -> bool:
        """Whether it wants two sides to be equal."""
        return isinstance(self.tree.ops[0], ast.Eq)

    @property
    def tolerance(self) -> float:
        """By how much its gap may exceed 0."""
        return TOLERANCE if self.equality else 0.0

    def gap(self, values: Mapping[str, float]) -> float:
        """Of one comparison, how far the left side is beyond the right one: above 0 on the wrong side of it.

        NaN where a side cannot be computed.
        """
        try:
            left, right = (_value(side, values) for side in (self.tree.left, self.tree.comparators[0]))
        except (ArithmeticError, ValueError):
            return math.nan
        return right - left if isinstance(self.tree.ops[0], ast.Gt | ast.GtE) else left - right

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether these values satisfy it."""
        return self.violation(values) == 0.0

    def violation(self, values: Mapping[str, float]) -> float:
        """How far its sides are on the wrong side of each other, at most; 0 if it holds.

        Infinite where a side cannot be computed. A strict comparison of equal sides is violated by the least number.
        """
        try:
            sides = [_value(side, values) for side in (self.tree.left, *self.tree.comparators)]
        except (ArithmeticError, ValueError):
            return math.inf
        if not all(math.isfinite(side) for side in sides):
            return math.inf
        compared = zip(sides[:-1], self.tree.ops, sides[1:], strict=True)
        wrong = [abs(a - b) for a, by, b in compared if not _COMPARISONS[type(by)](a, b)]
        return max([0.0, *(max(gap, math.ulp(0.0)) for gap in wrong)])


class _AnyName(Collection[str]):
    """All names that are no word of Python's."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and not keyword.iskeyword(name)

    def __iter__(self) -> Iterator[str]:
        return iter(("reported values",))

    def __len__(self) -> int:
        return 1


def _check(node: ast.expr, text: str, names: Collection[str], depth: int) -> None:
    """Refuse what is not of the language."""
    if depth > MAX_DEPTH:
        raise _misplaced(text, node, f"expected at most {MAX_DEPTH} nested operations")
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            if abs(number) > 1e300:
                raise _misplaced(text, node, "expected a number up to 1e300")
        case ast.Name():  # as it was written
            if node.id not in names:
                known = ", ".join(name if re.fullmatch(_PLAIN, name) else f"`{name}`" for name in names)
                raise _misplaced(text, node, f"expected one of the parameters {known}")
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            _check(operand, text, names, depth + 1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, text, names, depth + 1)
            _check(right, text, names, depth + 1)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            if len(args) != 1 if name == "abs" else len(args) < 2:
                expected = "one number" if name == "abs" else "two or more numbers"
                raise _misplaced(text, node, f"{name}: expected {expected}, got {len(args)}")
            for arg in args:
                _check(arg, text, names, depth + 1)
        case _:
            raise _misplaced(text, node, "expected numbers, parameters, + - * / **, min, max and abs only")


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    """What an expression that was checked is worth."""
    match node:
        case ast.Constant(value=number):
            return float(number)  # type: ignore[arg-type]
        case ast.Name(id=name):
            return float(values[name])
        case ast.UnaryOp(op=op, operand=operand):
            return float(_OPERATORS[type(op)](_value(operand, values)))
        case ast.BinOp(left=left, op=op, right=right):
            found = _OPERATORS[type(op)](_value(left, values), _value(right, values))
            if isinstance(found, complex):
                raise ArithmeticError("a root of a negative number")
            return float(found)
        case ast.Call(func=ast.Name(id=name), args=args):
            return float(_FUNCTIONS[name](*(_value(arg, values) for arg in args)))
    raise TypeError(f"expected an expression that was checked, got {ast.dump(node)}")


def _readable(found: "re.Match[str]", names: Collection[str]) -> str:
    """A name as Python can read it, of the same length."""
    name = found[0]
    odd = found[1] is not None or (name in names and (keyword.iskeyword(name) or not name.isidentifier()))
    return "_" * len(name) if odd else name


def _as_written(tree: ast.expr, text: str, read: str) -> None:
    """Give every node its place in the text, in characters, and every name the letters that it has there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.keyword):
            start, end = (
                len(read.encode()[:column].decode()) for column in (node.col_offset, node.end_col_offset)
            )
            node.col_offset, node.end_col_offset = start, end
        if isinstance(node, ast.Name):
            node.id = text[node.col_offset : node.end_col_offset].strip("`")


def _misplaced(text: str, node: ast.expr, problem: str) -> ValueError:
    kinds = (type(part) for part in (node, getattr(node, "op", None), *getattr(node, "ops", ())))
    hints = [_HINTS[kind] for kind in kinds if kind in _HINTS]
    return _refusal(text, "; ".join([problem, *hints[:1]]), node.col_offset, node.end_col_offset or 0)


def _refusal(text: str, problem: str, start: int, end: int) -> ValueError:
    marks = " " * start + "^" * max(1, end - start)
    return ValueError(f"constraint: {problem}, got {text[start:end] or 'its end'!r}\n  {text}\n  {marks}")
