"""Wrappers of environments, in plain data: `module:Class`, and the arguments of its constructor by name.

    gymnasium.wrappers:TimeAwareObservation                 as text, in a file or on a command line
    gymnasium.wrappers:RescaleAction(min_action=-1.0, max_action=1.0)
    {wrapper = "gymnasium.wrappers:ClipReward", min_reward = -1.0}       as a table

Arguments are what TOML has as values; nothing is evaluated. The first wrapper is the innermost.
"""

import importlib
import inspect
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym

from policysearch.registry import did_you_mean, imported

#: A wrapper and the arguments of its constructor, under "wrapper" the name.
Wrapping = Mapping[str, Any]
#: Gymnasium's own wrappers.
OWN = "gymnasium.wrappers"
#: Wrappers of Gymnasium that a received file may not name by itself: they write files, or open a window.
EFFECTS = ("RecordVideo", "HumanRendering")
FORM = "module:Class, or module:Class(name=value, …), as in gymnasium.wrappers:ClipReward(min_reward=-1.0)"


class WrongWrapper(ValueError):  # noqa: N818 - it states what was found
    """What is no wrapper, or does not take its arguments."""


def wrapping(given: Any) -> dict[str, Any]:
    """A wrapper and its arguments, from text or a table.

    Raises:
        ValueError: for what is neither.
    """
    if isinstance(given, str):
        match = re.fullmatch(r"([\w.]+:[\w.]+)(?:\((.*)\))?", given.strip(), re.DOTALL)
        if match is None:
            raise ValueError(f"expected {FORM}, got {given!r}")
        try:
            arguments = tomllib.loads(f"_ = {{{match[2] or ''}}}")["_"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{given}: expected name=value, … in the brackets ({error})") from error
        return {"wrapper": match[1], **arguments}
    if isinstance(given, Mapping) and isinstance(given.get("wrapper"), str):
        named = wrapping(given["wrapper"])
        return {**named, **given, "wrapper": named["wrapper"]}
    raise ValueError(f'expected {FORM}, or {{wrapper = "module:Class", name = value}}, got {given!r}')


def wrapped(env: gym.Env[Any, Any], wrappers: Iterable[Wrapping]) -> gym.Env[Any, Any]:
    """An environment within wrappers.

    Raises:
        WrongWrapper: for what is no wrapper, or does not take these arguments.
    """
    for each in wrappers:
        name, arguments = each["wrapper"], {key: value for key, value in each.items() if key != "wrapper"}
        kind = _class(name)
        if not (isinstance(kind, type) and issubclass(kind, gym.Wrapper)):
            raise WrongWrapper(f"wrappers: {name}: expected a gymnasium.Wrapper, got {kind!r}")
        try:
            env = kind(env, **arguments)
        except Exception as error:  # whatever the wrapper raises
            raise WrongWrapper(f"wrappers: {name}: {error}{taken(kind, arguments, skip=1)}") from error
    return env


def _class(name: str) -> Any:
    """What `module:Class` names; one of Gymnasium's own counts as no module that was asked for.

    Raises:
        WrongWrapper: if there is none.
    """
    module, _, attribute = name.partition(":")
    try:
        if module != OWN:
            return imported(name)
        return getattr(importlib.import_module(module), attribute)
    except AttributeError:
        near = did_you_mean(attribute, dir(importlib.import_module(module)))
        raise WrongWrapper(f"wrappers: {module} has no {attribute}" + (f"; {near}" if near else "")) from None
    except ValueError as error:
        raise WrongWrapper(f"wrappers: {error}") from error


def taken(build: Any, arguments: Mapping[str, Any], skip: int = 0) -> str:
    """What a constructor takes, if it does not take these arguments, to be added to a message; else nothing.

    Args:
        build: the constructor.
        arguments: those that were given, by name.
        skip: how many of its parameters are given otherwise.
    """
    try:
        known = [*inspect.signature(build).parameters.values()][skip:]
    except (TypeError, ValueError):  # built in
        return ""
    names = [p.name for p in known if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [name for name in arguments if name not in names]
    if not unknown or any(p.kind is p.VAR_KEYWORD for p in known):
        return ""
    near = did_you_mean(unknown[0], names)
    return f"; it takes {', '.join(names) or 'no arguments'}, got {', '.join(unknown)}" + (
        f": {near}" if near else ""
    )


def outside(wrappers: Iterable[Wrapping]) -> list[str]:
    """The modules of wrappers that a received file may not import by itself."""
    parts = [each["wrapper"].partition(":") for each in wrappers]
    return [module for module, _, name in parts if module != OWN or name in EFFECTS]
