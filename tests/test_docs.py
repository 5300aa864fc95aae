"""The pages of `docs/`: what they are made from is complete, and what they list is what there is."""

import sys
from pathlib import Path

import pytest

import policysearch
from policysearch import OPTIMIZERS

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_method_says_where_it_is_from_why_its_defaults_and_when_to_use_it(name: str) -> None:
    doc = sys.modules[OPTIMIZERS[name].__module__].__doc__ or ""
    for words in ("\nDefaults: ", "\nInvariant to: ", "\nWhen to use it: ", "\nWhen not: "):
        assert words in doc, f"{name}: expected a paragraph {words.strip()} in the docstring of its module"
    assert any(f"{year}" in doc for year in range(1945, 2030)), f"{name}: expected a source with its year"


def test_every_public_name_is_on_one_page_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from generator.api import PAGES

    listed = [name for _, names in PAGES.values() for name in names.split()]
    assert sorted(listed) == sorted(policysearch.__all__)


def test_every_page_stands_in_a_list_of_pages() -> None:
    for folder in ("tutorials", "how-to", "reference", "explanation", "project"):
        index = (ROOT / "docs" / folder / "index.md").read_text(encoding="utf-8")
        assert "```{toctree}\n:glob:" in index
        assert "\n*\n" in index, f"docs/{folder}/index.md does not find new pages"
