"""Questions in a terminal, answered from a list of lines."""

from pathlib import Path

import pytest

from policysearch.asking.prompt import Command, Prompt, aligned, described, parsed

COMMANDS = ("void", "stop", "")


def scripted(*lines: str) -> tuple[Prompt, list[str]]:
    """A prompt at which these lines are typed, and all that it shows."""
    left, said = list(lines), list[str]()

    def read(prompt: str) -> str:
        said.append(prompt)
        if not left:
            raise EOFError
        return left.pop(0)

    return Prompt(read, said.append), said


def test_a_line_is_a_command_a_number_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("breaths.csv", "4.5"):
        Path(name).touch()
    assert parsed("void mask leak", COMMANDS, "a rate") == Command("void", "mask leak")
    assert parsed("STOP", COMMANDS, "a rate") == Command("stop")
    assert parsed("", COMMANDS, "a rate") == Command("")
    assert parsed("4.25", COMMANDS, "a rate") == 4.25
    assert parsed("4.5", COMMANDS, "a rate") == 4.5  # also where a file has that name
    assert parsed("breaths.csv", COMMANDS, "a rate") == Path("breaths.csv")


@pytest.mark.parametrize("line", ["nan", "inf", "4_2", "4.2 W/kg", "/", "no.csv", "\0", "x" * 5000, "4,2"])
def test_any_other_line_is_refused_in_one_line(line: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a rate, got .*$"):
        parsed(line, COMMANDS, "a rate")


def test_a_mistyped_command_is_suggested_and_the_question_asked_again() -> None:
    prompt, said = scripted("viod leak", " 4.25 ")
    assert prompt.answer("rate", COMMANDS, "a rate") == 4.25
    assert said == ["rate > ", "  expected a rate, got 'viod leak'; did you mean void?", "rate > "]
    assert prompt.typed == "4.25"


def test_a_doubtful_line_counts_when_it_is_typed_again_exactly() -> None:
    for again, counts in (("39", True), ("39.0", False), ("3.9", False), ("", False)):
        prompt, said = scripted(again)
        assert prompt.is_meant("39 is much", "39") is counts
        assert said[0] == "  39 is much; if it is right, type 39"
        assert ("  not '39': nothing is written" in said) is not counts


def test_what_is_not_doubtful_is_not_asked_again() -> None:
    prompt, said = scripted()
    assert prompt.is_meant("", "39")
    assert said == []


def test_a_table_is_right_aligned_but_for_its_last_column() -> None:
    assert aligned([["n", "W/kg", "status"], ["10", "3.5", "void"], ["2", "", ""]]) == (
        " n  W/kg  status\n10   3.5  void\n 2"
    )


def test_help_shows_what_follows_a_command_and_what_it_does() -> None:
    said = described({"undo": ("REASON", "take the last one back"), "stop": ("", "end for now")})
    assert said == "  undo REASON  take the last one back\n  stop         end for now"


def test_the_end_of_the_lines_is_not_an_answer() -> None:
    prompt, _ = scripted("nonsense")
    with pytest.raises(EOFError):
        prompt.answer("rate", COMMANDS, "a rate")
