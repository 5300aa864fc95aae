"""What holds for the package as a whole: no unsafe calls, imports in one direction, documented methods."""

import ast
import importlib.metadata
import sys
from pathlib import Path

import pytest

import policysearch
from policysearch.optimizers import OPTIMIZERS

PACKAGE = Path(policysearch.__file__).parent
MODULES = {
    ".".join(("policysearch", *path.relative_to(PACKAGE).with_suffix("").parts)): ast.parse(
        path.read_text(encoding="utf-8")
    )
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_unpickled_or_evaluated(name: str) -> None:
    banned = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "yaml"}
    assert not {module.split(".")[0] for module in imported(MODULES[name])} & banned
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec", "__import__"))
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert isinstance(keyword.value, ast.Constant)
                    assert keyword.value.value is False


@pytest.mark.parametrize("name", MODULES)
def test_global_randomness_is_not_used(name: str) -> None:
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            of_numpy = isinstance(node.value.value, ast.Name) and node.value.value.id == "np"
            if of_numpy and node.value.attr == "random":
                assert node.attr in ("Generator", "PCG64"), f"np.random.{node.attr}"
    assert "random" not in imported(MODULES[name])


#: What a part of the package may import of the others.
MAY_IMPORT = {
    "seeding": set(),
    "core": {"seeding"},
    "space": {"core"},
    "constraints": set(),
    "ask": set(),
    "jit": set(),
    "command_line": set(),
    "files": set(),
    "figures": set(),
    "ledger": set(),
    "ers210": set(),
    "torque_law": set(),
    "respirometry": {"core"},
    "policies": {"core", "jit", "space", "ers210", "torque_law"},
    "gradients": {"core", "seeding", "policies"},
    "simulators": {"core", "gradients", "jit", "ers210", "respirometry", "torque_law"},
    "optimizers": {"core", "gradients"},
    "evaluators": {"core", "seeding", "space", "constraints", "jit", "policies", "respirometry", "simulators"},
    "search": {"core", "seeding"},
    "tasks": {
        "core", "seeding", "space", "policies", "gradients", "simulators", "optimizers", "evaluators"
    },
    "configuration": {"core", "optimizers"},
    "hitl": {
        "core", "seeding", "space", "ledger", "configuration", "respirometry", "torque_law", "policies", "simulators",
        "optimizers", "evaluators", "search", "tasks", "files", "figures", "command_line", "ask",
    },
    "tune": {
        "core", "space", "constraints", "configuration", "figures", "files", "ledger", "optimizers", "evaluators",
        "search", "ask", "seeding", "command_line",
    },
    "compare": {
        "core", "seeding", "space", "gradients", "simulators", "optimizers", "evaluators", "search", "ledger",
        "tasks", "configuration", "files", "figures", "command_line",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name.count(".") and "__init__" not in name.split(".")[1]]
)
def test_imports_run_one_way(name: str) -> None:
    if name.endswith("__main__"):
        return  # a command line stands on everything, and nothing on it
    part = name.split(".")[1]
    for module in imported(MODULES[name]):
        root, _, rest = module.partition(".")
        other = rest.split(".")[0]
        if root == "policysearch" and other in MAY_IMPORT and other != part:
            assert other in MAY_IMPORT[part], f"{name} imports {module}"


def test_optimizers_know_no_environment() -> None:
    for name, tree in MODULES.items():
        if name.startswith(("policysearch.optimizers", "policysearch.gradients", "policysearch.core")):
            assert not any(module.startswith("gymnasium") for module in imported(tree)), name


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_method_says_what_it_is_invariant_to(name: str) -> None:
    module = sys.modules[OPTIMIZERS[name].__module__]
    assert "Invariant to:" in (module.__doc__ or "")


def test_the_version_comes_from_one_place() -> None:
    assert importlib.metadata.version("policysearch") == policysearch.__version__
    assert policysearch.__version__ in (PACKAGE.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert policysearch.__version__ in (PACKAGE.parent / "CHANGELOG.md").read_text(encoding="utf-8")
