"""A page for every method of the registry, from its docstrings and fields."""

import sys
from collections.abc import Mapping

from generator import markdown
from generator.source import fields, places
from policysearch import OPTIMIZERS, Repeated, Trusted, Whitened
from policysearch.core import Optimizer, needs_of, tunable_of
from policysearch.optimizers import ONE_PARAMETER, revision_of, source_of

#: The methods by name.
METHODS: dict[str, type[Optimizer]] = {**OPTIMIZERS, **ONE_PARAMETER}
#: What can be put around a method, and how the command line writes it.
AROUND = {"whitened": Whitened, "repeated": Repeated, "trusted": Trusted}
WRITTEN = {
    "whitened": "`whitened:NAME` in place of a method's name",
    "repeated": "`--episodes-per-candidate K`",
    "trusted": "`safe` of a tuning",
}


def pages() -> Mapping[str, str]:
    """A page for every method and for what can be put around one, and the list of them."""
    written = {f"{name}.md": _page(name, cls) for name, cls in METHODS.items()}
    written |= {f"{name}.md": _around(name, cls) for name, cls in AROUND.items()}
    return {"index.md": _list(), **written}


def _list() -> str:
    rows = [(f"[`{name}`]({name}.md)", _first(cls), _needs(cls)) for name, cls in METHODS.items()]
    around = [(f"[{name}]({name}.md)", _first(cls), WRITTEN[name]) for name, cls in AROUND.items()]
    return f"""# Methods

Hyperparameters are set with `--set NAME.FIELD=VALUE`, in a study file, or as arguments of the class. Where a method's
source has another value than the default, its page shows both; `--settings source` takes those of the sources. A
*scaled* unit is a step that matters: see [`Space`](../api/space.md). The page
[Choosing a method](../../explanation/choosing-a-method.md) says when to use which.

{markdown.table(("name", "what it is", "needs"), rows)}

## Around a method

{markdown.table(("name", "what it does", "how it is written"), around)}

{markdown.toctree(*METHODS, *AROUND)}
"""


def _module_doc(cls: type[Optimizer]) -> str:
    return sys.modules[cls.__module__].__doc__ or ""


def _first(cls: type[Optimizer]) -> str:
    return " ".join(_module_doc(cls).split("\n\n")[0].split())


def _needs(cls: type[Optimizer]) -> str:
    needs = needs_of(cls)
    said = {
        "scores of the policy": needs.scores,
        "two bounds for every parameter": needs.bounds,
        f"the extra `{needs.extra}`": needs.extra,
        "a single parameter": cls in ONE_PARAMETER.values(),
    }
    return ", ".join(text for text, needed in said.items() if needed)


def _page(name: str, cls: type[Optimizer]) -> str:
    needs = f"Needs: {_needs(cls)}.\n" if _needs(cls) else ""
    return f"""# {name}

Class `policysearch.{cls.__name__}`: {(cls.__doc__ or "").strip()}
{needs}
Revision: {revision_of(cls())}. It is raised when the same seed gives other candidates.

{markdown.marked(markdown.of_docstring(_module_doc(cls)))}

## Hyperparameters

{_hyperparameters(cls)}
"""


def _hyperparameters(cls: type[Optimizer]) -> str:
    tuned = {name: f"{low:g} to {high:g}" for name, (low, high) in tunable_of(cls).items()}
    source = source_of(cls)
    rows = [
        (
            markdown.code(field.name),
            markdown.code(field.default),
            markdown.code(repr(source[field.name])) if field.name in source else "",
            field.meaning or _choices(field.annotation),
            tuned.get(field.name, ""),
        )
        for field in fields(places(cls))
    ]
    return markdown.table(("name", "default", "source", "meaning", "`--tune` draws from"), rows)


def _choices(annotation: str) -> str:
    """The choices of a literal type; a named one is found in the class's page of its module."""
    if annotation.startswith("Literal["):
        return "one of " + annotation.removeprefix("Literal[").removesuffix("]").replace('"', "`")
    return ""


def _around(name: str, cls: type[Optimizer]) -> str:
    return f"""# {name}

Class `policysearch.{cls.__name__}`; written as {WRITTEN[name]}.

{markdown.of_docstring(_module_doc(cls))}

{markdown.of_docstring(cls.__doc__)}
"""
