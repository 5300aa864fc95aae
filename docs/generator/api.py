"""The pages of the public names, from their signatures, fields and docstrings."""

import ast
import inspect
from collections.abc import Mapping
from typing import Any

import policysearch
import policysearch.testing
from generator import markdown, source
from policysearch.compare.api import compare
from policysearch.compare.options import StudySettings
from policysearch.reuse import Reuse
from policysearch.tune.api import tune
from policysearch.tune.options import TuneSettings

#: The public names, page by page: title, and names in the order in which they are read.
PAGES = {
    "compare": ("Compare methods", "compare Study CompareResult"),
    "tune": ("Tune a function, a program or a machine", "tune TuneResult Prompt Interrupted"),
    "search": (
        "Searches: the loop is yours",
        "generations AskTell Budget Generation SearchFailed Domain Proposal Evaluation Rollout stream",
    ),
    "space": ("Parameters", "Parameter Space space_of Bounds Choice Constraint"),
    "methods": (
        "Methods",
        "Optimizer OPTIMIZERS build Repeated Whitened Trusted Auto RandomSearch HillClimbing NelderMead MultiStart "
        "QuadraticModel Genetic CrossEntropy CMAES SeparableCMAES LearningRateCMAES OnePlusOneCMAES LocalRegression "
        "SNES PGPE FiniteDifference SPSA EvolutionStrategy ARS Reinforce "
        "OffPolicyReinforce NaturalGradient TRPO PPO BayesianOptimization",
    ),
    "evaluators": (
        "Evaluators: what runs rollouts",
        "Evaluator Runner EpisodeEvaluator CompiledEvaluator PoolEvaluator FunctionEvaluator ProgramEvaluator Capped",
    ),
    "policies": (
        "Policies",
        "Policy StochasticPolicy Linear MLP Softmax Gaussian PID CascadedPID LQRWeights EnergySwingUp "
        "PatternGenerator make_policy load SavedPolicy",
    ),
    "tasks": ("Tasks and simulators", "Task TASKS find_task make_evaluator Simulator SimulatorEnv"),
}
#: Public names that `policysearch.__all__` has not.
MORE = {
    "testing": (
        "Checks for authors of methods",
        "policysearch.testing",
        dict.fromkeys(("check_optimizer", "optimizer_checks"), "policysearch.testing.optimizers"),
    ),
    "torch": (
        "Policies from PyTorch modules",
        "policysearch.policies.torch_policy",
        {"TorchPolicy": "policysearch.policies.torch_policy"},
    ),
}
#: What is added below a function whose keywords are described elsewhere.
OPTIONS = {"compare": (StudySettings, Reuse), "tune": (TuneSettings, Reuse)}


def pages() -> Mapping[str, str]:
    """A page for every group of names, and the list of them.

    Raises:
        ValueError: for a public name that is on no page.
    """
    listed = {name for _, names in PAGES.values() for name in names.split()}
    if missing := sorted(set(policysearch.__all__) ^ listed):
        raise ValueError(f"docs/generator/api.py: expected every public name on one page, got {missing}")
    written = {f"{page}.md": _page(title, names.split()) for page, (title, names) in PAGES.items()}
    written |= {f"{page}.md": _page_of_module(*more) for page, more in MORE.items()}
    rows = [
        (f"[{title}]({page}.md)", ", ".join(f"`{name}`" for name in names.split()))
        for page, (title, names) in PAGES.items()
    ]
    rows += [
        (f"[{title}]({page}.md)", ", ".join(f"`{module}.{name}`" for name in names))
        for page, (title, module, names) in MORE.items()
    ]
    text = f"""# Python API

These names are public: they change only as the [versioning policy](../../project/versioning.md) says. Everything else
may change without notice. A name is imported when it is first used, so `import policysearch` is fast. All names are
typed: editors complete options, `compare`'s and `tune`'s keywords among them, and find misspelt ones.

{markdown.table(("page", "names"), rows)}

{markdown.toctree(*PAGES, *MORE)}
"""
    return {"index.md": text, **written}


def _page(title: str, names: list[str]) -> str:
    return "\n\n".join([f"# {title}", *(_entry(name) for name in names)]) + "\n"


def _page_of_module(title: str, module: str, names: Mapping[str, str]) -> str:
    """A page from the source alone: what it needs may not be installed."""
    entries = []
    for name, place in names.items():
        node, _ = source.definition(place, name)
        defined = _function if isinstance(node, ast.FunctionDef) else _class
        entries.append(defined(module, node, [(place, name)]))
    return "\n\n".join([f"# {title}", markdown.of_docstring(source.doc_of(module)), *entries]) + "\n"


def _entry(name: str) -> str:
    thing: Any = {"compare": compare, "tune": tune}.get(name) or getattr(policysearch, name)
    if inspect.isclass(thing):
        places = source.places(thing)
        return _class("policysearch", source.definition(*places[0])[0], places)
    if callable(thing):
        return _function("policysearch", source.definition(thing.__module__, name)[0], [])
    return _directive(
        "data", name, "policysearch", f"The registry of every {thing.kind} by its name; a mapping."
    )


def _function(module: str, node: ast.FunctionDef, _: object) -> str:
    body = markdown.of_docstring(ast.get_docstring(node))
    for settings in OPTIONS.get(node.name, ()):
        body += f"\n\n{_settings(settings)}"
    return _directive("function", f"{node.name}{source.signature(node)}", module, body)


def _directive(kind: str, text: str, module: str, body: str, colons: int = 6) -> str:
    fence = ":" * colons
    options = f":module: {module}\n" if module else ""
    return f"{fence}{{py:{kind}}} {text}\n{options}\n{body}\n{fence}"


def _class(module: str, node: ast.ClassDef, places: list[tuple[str, str]]) -> str:
    """A class with its fields, or the arguments of its constructor, and its public methods."""
    parts, arguments = [markdown.of_docstring(ast.get_docstring(node))], ""
    made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    if made:
        arguments = source.signature(made[0], bound=True).removesuffix(" -> None")
    elif fields := source.fields(places):
        parts.append(_fields(fields))
    for method in source.methods(node):
        options = {"classmethod": ":classmethod:\n", "staticmethod": ":staticmethod:\n"}.get(method.kind, "")
        kind = "property" if method.kind == "property" else "method"
        body = f"{options}\n{markdown.of_docstring(method.doc)}"
        parts.append(f":::::{{py:{kind}}} {method.name}{method.signature}\n{body}\n:::::")
    return _directive("class", node.name + arguments, module, "\n\n".join(parts))


def _fields(fields: list[source.Field]) -> str:
    rows = [
        (markdown.code(f.name), markdown.code(f.annotation), markdown.code(f.default), f.meaning)
        for f in fields
    ]
    return markdown.table(("field", "type", "default", "meaning"), rows)


def _settings(model: type) -> str:
    """The fields of a model as keywords."""
    fields = source.fields(source.places(model))
    rows = [(markdown.code(f.name), markdown.code(f.default), f.meaning) for f in fields]
    return f"{model.__doc__}\n\n" + markdown.table(("keyword", "default", "meaning"), rows)
