"""Text from outside is shown and written as characters: no terminal obeys it, and no spreadsheet computes it."""

import re
from pathlib import Path

import in_process
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policysearch import files
from policysearch.asking.prompt import Prompt
from policysearch.command_line import Refusal, running
from policysearch.reporting.console import Console
from policysearch.reporting.tables import csv, terminal
from policysearch.visible import inert, original, visible

TITLE, ERASE, EIGHT_BIT = "\x1b]0;owned\x07", "\x1b[2K\r", "\x9b2J"
COMMANDS = re.compile("[\x00-\x06\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, λ, 日本\t\n", "plain, naïve, λ, 日本\t\n"),
        ("lines\r\n", "lines\r\n"),
        (TITLE, "\\u001b]0;owned\x07"),
        (ERASE, "\\u001b[2K\\u000d"),
        (EIGHT_BIT, "\\u009b2J"),
        ("a\x00b\x7f", "a\\u0000b\\u007f"),
        ("file\u202egpj.exe", "file\\u202egpj.exe"),
        ("caf\udce9", "caf?"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("@SUM(1+1)*cmd", "'@SUM(1+1)*cmd"),
        ("+1+cmd", "'+1+cmd"),
        ("-2+3+cmd", "'-2+3+cmd"),
        ("\t=1", "'\t=1"),
        ("a reason;=cmd", "a reason;'=cmd"),
        ("a trace\n=cmd", "a trace\n'=cmd"),
        ("'=1", "''=1"),
        *(
            (text, text)
            for text in ("", "-1.5", "+3e-7", "-inf", "nan", "cma-es", "a = 1", "it's", "x; =1", "–1")
        ),
    ],
)
def test_formulas_are_text(text: str, cell: str) -> None:
    assert inert(text) == cell
    assert original(cell) == text


@given(st.text(alphabet="=+-@'a1;\n\t. "))
def test_the_text_of_a_cell_is_read_as_it_was(text: str) -> None:
    assert original(inert(text)) == text


def test_tables_hold_no_formula_and_the_same_numbers() -> None:
    table = pd.DataFrame(
        {
            "=x": [-1.5, 0.1 + 0.2],
            "reason": ["=cmd", ""],
            "n": [-1, 2],
            "any": pd.Series([None, -3], dtype=object),
        }
    )
    assert csv(table) == "'=x,reason,n,any\n-1.5,'=cmd,-1,\n0.30000000000000004,,2,-3\n"
    assert list(table.columns) == ["=x", "reason", "n", "any"]
    assert table["reason"][0] == "=cmd"
    plain = pd.DataFrame({"a": [1.0, None], "b": ["x", "y"], "c": [1, 2], "d": [True, False], "e": [1, None]})
    assert csv(plain.astype({"e": object})) == plain.astype({"e": object}).to_csv(index=False)
    assert csv(plain[:0]) == plain[:0].to_csv(index=False)


def test_files_hold_no_control_characters(tmp_path: Path) -> None:
    files.write_text(tmp_path / "summary.md", f"{TITLE}{ERASE}{EIGHT_BIT}caf\udce9\n")
    assert not COMMANDS.search((tmp_path / "summary.md").read_text(encoding="utf-8"))


def test_commands_show_no_control_characters_of_others() -> None:
    def command(_: list[str]) -> int:
        def act() -> int:
            print(TITLE)
            console = Console(force_terminal=True)
            console.print(ERASE, markup=False, style="bold")
            console.print(terminal(["name", EIGHT_BIT], [[TITLE, 1.0]], title=ERASE, caption=TITLE))
            raise Refusal([f"{TITLE}: unknown"])

        return running(act)

    done = in_process.run(command)
    assert done.returncode == 2
    assert done.stderr == "error: \\u001b]0;owned\x07: unknown\n"
    assert "\x1b[1m" in done.stdout  # the console's own
    assert not COMMANDS.search(re.sub(r"\x1b\[[\d;]*m", "", done.stdout))


def test_prompts_show_no_control_characters() -> None:
    shown: list[str] = []
    Prompt(lambda prompt: shown.append(prompt) or "1", lambda line: None).line(TITLE)
    assert shown == ["\\u001b]0;owned\x07 > "]
