"""beartype, with int accepted where a float is asked for, as PEP 484 has it."""

import functools
import types
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_first_calls(count: int) -> None:
    """Let functions be checked `count` times in a process: to check every call is half of the time of many tests."""
    of_jaxtyping = jaxtyping.jaxtyped

    def jaxtyped(*function: Any, typechecker: Any) -> Any:
        if not function:
            return functools.partial(jaxtyped, typechecker=typechecker)
        checked = of_jaxtyping(*function, typechecker=typechecker)
        return first_calls(function[0], checked) if isinstance(function[0], types.FunctionType) else checked

    def first_calls(function: Any, checked: Any) -> Any:
        left = count

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left:
                left -= 1
                return checked(*args, **kwargs)
            return function(*args, **kwargs)

        return call

    # the decorator of the import hook, and the one that it calls for what is in a class
    jaxtyping.jaxtyped = jaxtyping._decorator.jaxtyped = jaxtyped  # type: ignore[attr-defined]
