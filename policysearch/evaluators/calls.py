"""How a function of the user's is called, as its signature says.

    f(params, seed)      f(params, s)                      the parameters by name in one mapping, and the seed
    f(params, dt=0.01, seed=None)                          the seed is for the parameter of that name
    f(params)            f(params, dt=0.01)                without the seed: what has a default keeps it
    f(kp, ki)            f(kp, ki, seed)     f(**params)   each parameter of the space by its own name

In each, a parameter called `cutoff` is given the cutoff. A function with `*args`, or whose signature is not known, is
called as `f(params, seed)`. A seed that `functools.partial` has set stays. Other signatures are refused.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any, Literal

#: Names of the parameter, or of the placeholder of a program, for the cutoff; the second is the old one.
CUTOFF_NAMES = ("cutoff", "hopeless")

_NUMBERS = (float, int, "float", "int")  # annotations
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)

#: What gets the seed: the second parameter, the one of that name, or none.
Seed = Literal["second place", "seed", ""]


@dataclass(frozen=True)
class Call:
    """A function, and the way in which it is called."""

    function: Callable[..., Any]
    each: bool = False  # whether it gets each parameter by its name, instead of all in a mapping
    seed: Seed = ""  # what gets the seed
    cutoffs: tuple[str, ...] = ()  # names of what gets the cutoff

    def __call__(self, values: Mapping[str, Any], seed: int, cutoff: float) -> Any:
        """What the function returns."""
        more: dict[str, Any] = dict.fromkeys(self.cutoffs, cutoff)
        if self.seed == "seed":
            more["seed"] = seed
        if self.each:
            return self.function(**values, **more)
        return (
            self.function(values, seed, **more)
            if self.seed == "second place"
            else self.function(values, **more)
        )


def adapted(function: Callable[..., Any], names: Collection[str]) -> Call:
    """The way to call `function` for parameters called `names`.

    Raises:
        ValueError: for a signature that leaves open what is meant, or a coroutine function.
    """
    if inspect.iscoroutinefunction(function):
        raise ValueError("function: expected one that returns its result, got a coroutine function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # as of some that are built in
        return Call(function, seed="second place")
    known = list(signature.parameters.values())
    each = _wants_each(known, names)
    cutoffs = tuple(x.name for x in known if x.name in CUTOFF_NAMES and not (each and x.name in names))
    seed = _seed(function, known, each, {*names, *cutoffs})
    places = known[: 2 if seed == "second place" else 1]
    filled = {*names} if each else {x.name for x in places if x.kind is not Parameter.KEYWORD_ONLY}
    missing = [x for x in known if _is_needed(x) and x.name not in {*filled, *cutoffs, seed}]
    if missing or not (each or _takes_all(known)):
        raise _refusal(signature, names)
    if not (each or seed) and known[0].name in names and known[0].annotation is Parameter.empty:
        raise _refusal(signature, names, f"; annotate {known[0].name} as a float, or call it params")
    return Call(function, each, seed, cutoffs)


def _wants_each(known: Sequence[Parameter], names: Collection[str]) -> bool:
    """Whether the names of a space are those of a function's own parameters; a single one has to be a number too."""
    kinds = {x.name: x.kind for x in known}
    by_name = {name for name, kind in kinds.items() if kind in _BY_NAME}
    if not (set(names) <= by_name or Parameter.VAR_KEYWORD in kinds.values()):
        return False
    first = next((x for x in known if x.kind in _BY_POSITION and x.name != "seed"), None)
    if first is None:
        return Parameter.VAR_POSITIONAL not in kinds.values()
    a_number = first.annotation in _NUMBERS or first.default is not Parameter.empty
    return first.name in by_name & set(names) and (len(names) > 1 or a_number)


def _seed(
    function: Callable[..., Any], known: Sequence[Parameter], each: bool, taken: Collection[str]
) -> Seed:
    """What gets the seed."""
    kept = inspect.unwrap(function)
    if isinstance(kept, functools.partial) and "seed" in kept.keywords:
        return ""
    second = [x for x in known[1:2] if x.kind in _BY_POSITION and x.name not in taken]
    if not each and any(x.name == "seed" or x.default is Parameter.empty for x in second):
        return "second place"
    if any(x.name == "seed" and x.kind in _BY_NAME for x in known[0 if each else 1 :]):
        return "seed"
    return "second place" if not each and any(x.kind is Parameter.VAR_POSITIONAL for x in known[:2]) else ""


def _takes_all(known: Sequence[Parameter]) -> bool:
    """Whether the first parameter may get the mapping."""
    kinds = (*_BY_POSITION, Parameter.VAR_POSITIONAL)
    return bool(known) and known[0].kind in kinds and known[0].name not in ("seed", *CUTOFF_NAMES)


def _is_needed(parameter: Parameter) -> bool:
    return parameter.kind in (*_BY_POSITION, *_BY_NAME) and parameter.default is Parameter.empty


def _refusal(signature: Signature, names: Collection[str], hint: str = "") -> ValueError:
    bare = [x.replace(annotation=Parameter.empty) for x in signature.parameters.values()]
    got = signature.replace(parameters=bare, return_annotation=Signature.empty)
    expected = f"f(params, seed), f(params) or f({', '.join(names)})"
    return ValueError(f"function: expected {expected}, got f{got}{hint}")
