"""Where results come from: versions, the machine, and what has changed since something was recorded."""

import math
import os
import platform
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import policysearch

PACKAGES = ("numpy", "scipy", "numba", "gymnasium", "cma", "pandas")


@cache
def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of those of the packages that are installed."""
    known = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):  # extras
            known[name] = version(name)
    return known


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def _features() -> str:
    """The groups of vector instructions that NumPy's loops may use here: those it was built for, and those found."""
    import numpy as np  # noqa: PLC0415 - not for a help text

    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {})  # what is empty is left out
    return ", ".join([*extensions.get("baseline", []), *extensions.get("found", [])]) or "unknown"


def _linear_algebra() -> str:
    """The libraries of matrix products in this process, with the kernel that each chose for this processor."""
    from threadpoolctl import threadpool_info  # noqa: PLC0415 - takes 10 ms, which only writers of results need

    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    parts = [(each["internal_api"], each["version"], each.get("architecture")) for each in found]
    return ", ".join(sorted({" ".join(str(part) for part in each if part) for each in parts})) or "unknown"


def environment() -> dict[str, Any]:
    """Versions and machine, for the readers of results.

    Instructions and kernels are part of it because sums in another order differ in their last digits.
    """
    return {
        "policysearch": policysearch.__version__,
        **{name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "processors": os.cpu_count(),
        "instructions": _features(),
        "linear algebra": _linear_algebra(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        "process": os.getpid(),
    }


def changes(values: Iterable[tuple[str, Any, Any]]) -> list[str]:
    """A line `NAME was BEFORE, is NOW` for every (name, before, now) that differ.

    Mappings are compared by their names, as in `PLACE.NAME was …`, and lists of things that have a name by theirs.
    """
    return [line for name, was, now in values if was != now for line in _change(name, was, now)]


def _change(place: str, was: Any, now: Any) -> list[str]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        return changes((f"{place}.{name}", was.get(name), now.get(name)) for name in {**was, **now})
    if _have_names(was) and _have_names(now):
        before, after = ({item["name"]: item for item in items} for items in (was, now))
        lines = [f"{name} is new" for name in after if name not in before]
        lines += [f"{name} is missing" for name in before if name not in after]
        lines += changes((name, before[name], item) for name, item in after.items() if name in before)
        return lines or [f"{place} has another order"]
    return [f"{place} was {in_words(was)}, is {in_words(now)}"]


def _have_names(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, Mapping) and "name" in item for item in items)


def in_words(value: object) -> str:
    """A value in a message: whole floats without a point, None as "not set"."""
    if isinstance(value, float) and math.isfinite(value) and float(f"{value:g}") == value:
        return f"{value:g}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(in_words, value)) + ")"
    return "not set" if value is None else str(value)
