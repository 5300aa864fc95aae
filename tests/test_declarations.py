"""What dataclasses say of themselves without being imported, and names whose things are made when they are used."""

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from policysearch.declarations import declaration, declaration_of, descriptions
from policysearch.optimizers import OPTIMIZERS, method_of
from policysearch.registry import Registry, found
from policysearch.tasks import TASKS

METHODS = """
import sys
from policysearch.declarations import declaration
from policysearch.optimizers import OPTIMIZERS
for name in OPTIMIZERS:
    print(name, declaration(OPTIMIZERS.declared(name)))
print([name for name in sys.modules if name.startswith('policysearch.optimizers.') or name == 'numpy'])
"""
#: A dataclass around another one, and one whose default has to be computed.
SAMPLES = '''
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

@dataclass(frozen=True)
class Inner:
    """First line.

    More.
    """

    source: ClassVar[Mapping[str, Any]] = {"first": 2}
    first: int = 1
    second: str | None = None
'''
OUTER = '''
from dataclasses import dataclass
from declared_inner import Inner

@dataclass(frozen=True)
class Outer(Inner):
    """Around it."""

    second: str | None = "two"
    third: float = -0.5
'''
COMPUTED = '''
import math
from dataclasses import dataclass

@dataclass(frozen=True)
class Computed:
    """Has to be imported."""

    value: float = math.pi
'''


def test_what_methods_say_is_read_without_an_import_and_is_what_their_classes_say() -> None:
    done = subprocess.run([sys.executable, "-c", METHODS], capture_output=True, text=True, check=True)
    *lines, modules = done.stdout.splitlines()
    assert modules == "['policysearch.optimizers.names']"
    assert lines == [f"{name} {plain(OPTIMIZERS[name])}" for name in OPTIMIZERS]


def plain(cls: type) -> object:
    """As `declaration_of`, with the docstring as it is without indents."""
    said = declaration_of(cls)
    return dataclasses.replace(said, doc=inspect.cleandoc(said.doc))


@pytest.mark.parametrize("name", ["inner", "outer", "computed"])
def test_a_dataclass_says_the_same_read_and_imported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, text in (("inner", SAMPLES), ("outer", OUTER), ("computed", COMPUTED)):
        (tmp_path / f"declared_{module}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    place = f"declared_{name}:{name.title()}"
    said = declaration(place)
    assert (f"declared_{name}" in sys.modules) == (name == "computed")
    assert repr(said) == repr(plain(found(place)))


MODEL = '''
from pydantic import BaseModel, ConfigDict

class Options(BaseModel):
    """Of a test."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    one: int = 1
    """In one line."""

    two: str = "a string that is none"
    three: float = 3.0
    """In several lines,
    which are indented.
    """

    def method(self) -> int:
        """Of a method."""
        return self.one
'''


def test_options_are_described_by_the_docstrings_below_them_as_pydantic_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "described_options.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    fields = found("described_options:Options").model_fields
    by_pydantic = {name: field.description for name, field in fields.items() if field.description}
    assert descriptions("described_options", "Options") == by_pydantic
    assert [*by_pydantic] == ["one", "three"]
    assert descriptions("described_options", "Nothing") == {}


def test_a_thing_is_made_once_when_it_is_first_used() -> None:
    made: list[str] = []
    things: Registry[str] = Registry("thing", "policysearch.things")
    things.declare("one", lambda: made.append("one") or "made", said="of one")  # type: ignore[func-returns-value]
    assert "one" in things
    assert [*things] == things.names() == ["one"]
    assert (made, things.declared("one")) == ([], "of one")
    assert [things["one"], things.find("one"), *things.values()] == ["made"] * 3
    assert (made, things.declared("one")) == (["one"], None)
    with pytest.raises(KeyError):
        things["two"]


NAMES = """
from policysearch.tasks import CONTROLLERS, TASKS
for name in TASKS:
    said = TASKS.declared(name)
    assert (TASKS[name].name, TASKS[name].policy) == (name, said), name
assert all(map(callable, CONTROLLERS.values()))
print(len(TASKS), len(CONTROLLERS))
"""


def test_a_name_makes_the_task_of_that_name_with_the_policy_that_was_said() -> None:
    done = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(TASKS)} 9\n"


NAME = """
import sys
from policysearch.optimizers import method_of
from policysearch.optimizers.ars import ARS
print(method_of(ARS())[0], 'policysearch.optimizers.ppo' in sys.modules)
"""


def test_the_name_of_a_method_is_found_without_importing_the_others() -> None:
    done = subprocess.run([sys.executable, "-c", NAME], capture_output=True, text=True, check=True)
    assert done.stdout == "ars False\n"
    assert [method_of(OPTIMIZERS[name])[0] for name in OPTIMIZERS] == list(OPTIMIZERS)
