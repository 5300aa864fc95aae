"""policysearch: good parameters for a controller by trying them, and an honest comparison of the ways.

Start with `python -m policysearch.compare --help`, or in Python with `policysearch.compare(study)`,
`policysearch.tune(function, space)` and `policysearch.search.generations`.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("compare", "tune"):  # imported when it is first used
        from importlib import import_module  # noqa: PLC0415

        return import_module(f"policysearch.{name}")
    raise AttributeError(f"module 'policysearch' has no attribute {name!r}")
