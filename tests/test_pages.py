"""What README.md and the pages of docs/ say is what happens."""

from pathlib import Path

import pages
import pytest
from pages import PAGES, ROOT, agrees, at_work, blocks_of


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def check(page: Path, folder: Path, *, full: bool) -> None:
    with at_work(folder, draw=full):
        for source, shown, printed in pages.Run(page, folder, full=full).outputs():
            if shown is not None:
                assert agrees(shown.text, printed), f"{named(page)}:{source.line} prints\n{printed}"


#: Pages that take over two seconds by day.
SLOW = ("docs/how-to/coming-from.md",)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.nightly] * (named(page) in SLOW)) for page in PAGES],
    ids=named,
)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    check(page, tmp_path, full=False)


LONG = [
    page
    for page in PAGES
    if any(block.mark("nightly") is not None or block.mark("by day") for block in blocks_of(page.read_text(encoding="utf-8")))
]  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize("page", LONG, ids=named)
def test_the_long_blocks_of_a_page_run_and_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    check(page, tmp_path, full=True)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_tables_of_a_page_are_what_their_commands_print(page: Path) -> None:
    for match, printed in pages.tables_of(page.read_text(encoding="utf-8")):
        assert match["text"] == printed, match["command"]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_of_a_page_has_a_language_and_known_marks(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fences = [line.strip() for line in text.splitlines() if line.strip().startswith("```")]
    blocks = blocks_of(text)
    assert len(fences) == 2 * len(blocks)
    for block in blocks:
        assert block.language != "bash", f"line {block.line}: expected sh (run) or console (not run)"
        for mark in block.marks:
            assert mark.split(":")[0].split()[0] in {"by", "nightly", "needs", "exit", "output", "/output"}, (
                mark
            )


@pytest.mark.parametrize("file", sorted((ROOT / "docs/tutorials/policy-gradients").glob("*.py")), ids=named)
def test_a_script_of_a_concept_has_at_most_25_lines_and_a_small_picture(file: Path) -> None:
    code = file.read_text(encoding="utf-8").split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    assert file.with_suffix(".png").stat().st_size < 60_000


PAGE = """# Page

```python
x = 2
print(x, "and", 3.14159)
```

```text
2 and 3.1…
```

```toml title="sub/settings.toml"
a = 1
```

<!-- exit 2 -->
```sh
policysearch tune \\
    no_such_file.toml   # refused
```

<!-- nightly -->
```python
1 / 0
```

```python fragment
this is no Python
```
"""


def test_a_page_is_run_in_order_in_one_folder(tmp_path: Path) -> None:
    page, folder = tmp_path / "page.md", tmp_path / "folder"
    folder.mkdir()
    page.write_text(PAGE, encoding="utf-8")
    with at_work(folder):
        outputs = [*pages.Run(page, folder).outputs()]
    assert [output.printed for output in outputs] == ["2 and 3.14159\n", ""]
    assert (folder / "sub/settings.toml").read_text(encoding="utf-8") == "a = 1\n"
    with at_work(folder), pytest.raises(ZeroDivisionError):
        [*pages.Run(page, folder, full=True).outputs()]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<!-- exit 2 -->\n", "", "ended with 2"),
        ("x = 2", "x = y", "name 'y' is not defined"),
        ("sub/settings.toml", "pyproject.toml", "is not in"),
    ],
)
def test_what_fails_on_a_page_fails_its_test(tmp_path: Path, old: str, new: str, message: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace(old, new), encoding="utf-8")
    with at_work(tmp_path), pytest.raises((AssertionError, NameError), match=message):
        [*pages.Run(page, tmp_path).outputs()]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a 1\n", "a 1 \n\n", True),
        ("a 1\n", "a 2\n", False),
        ("a 1\n", "a 12\n", False),
        ("a …, b\n", "a 1.25, b\n", True),
        ("a …\n", "a 1\nb\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nb\nc\n", False),
    ],
)
def test_an_ellipsis_stands_for_what_differs(shown: str, printed: str, same: bool) -> None:
    assert agrees(shown, printed) is same
