"""The return in what a program prints."""

import json
import re
from typing import Any

import pytest

from policysearch.evaluators.printed import MAX_LINE_LENGTH, last_line, returned

LINES = "".join(f'{{"iteration": {i}}}\n' for i in range(2000))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.42\n", 0.42),
        (" -1e-3 ", -1e-3),
        ("+.5", 0.5),
        ("7.", 7.0),
        ("7.001223D+00\n", 7.001223),  # Fortran's double precision
        ("1d3", 1000.0),
        ("cost\r\n7.5\r\n\r\n", 7.5),
        ("\r  0 %\r 50 %\r100 %\r7.5\n", 7.5),
        ("  0 %\r 50 %\r100 %\r7.5\n", 7.5),
        ("\x1b[32m7.5\x1b[0m\n", 7.5),
        ("\x1b[1;31mbad\x1b[0m\n\x1b[K\x1b[2;38;5;9m7.5\x1b[0m\x1b[?25h\n", 7.5),
        ("\x1b]0;my simulator\x077.5\n", 7.5),
        ("\ufeff7.5\n", 7.5),
        ("\0\0007.5\0\0\n\0\n", 7.5),
        ("7.5\xa0\n", 7.5),
        ("x" * 3_000_000 + "\n7.5\n", 7.5),
        ('{"return": 7.5}', {"return": 7.5}),
        ('\ufeff{"return": 7.5}\n', {"return": 7.5}),
        ('log {\n  {"return": 7.5}  \n', {"return": 7.5}),
        (json.dumps({"return": 7.5, "of": [{"a": 1}, {"b": {}}]}, indent=2), {"return": 7.5, "of": [{"a": 1}, {"b": {}}]}),
        ('{\r\n\t"return": 7.5,\r\n\t"timing":\r\n\t{"wall": 1}}\r\n', {"return": 7.5, "timing": {"wall": 1}}),
        (f'{LINES}{{"return": 7.5,\n"steps": 3}}', {"return": 7.5, "steps": 3}),
        ('{"return": 1}\n{"return": 2}\n', {"return": 2}),
    ],
)  # fmt: skip
def test_a_return_is_read_however_it_is_dressed(text: str, value: Any) -> None:
    assert returned(text) == value


@pytest.mark.parametrize(
    "line",
    [
        "cost: 7.5", "ans = 7.5", "7.5 m", "7,5", "1,007.5", "7.5 8.5", "0.0,7.5", "[7.5, 0.1]", "-->", "None", "true",
        "done", "Elapsed time: 0.3 s", "1_000", "٣", "７", "²", "0x1p3", "0x10", "\u22127.5", "1e", "e5", ".", "--1", "1e5_0",
        "nan(ind)", "1.#QNAN", "7.5-103", "7.5 %", '"7.5"', '{"return": 7.5', 'cost {"return": 7.5}', "}", "{7.5}",
        '{"return": 7.5}}', '{"return": 7.5} s', "{'return': 7.5}",
    ],
)  # fmt: skip
def test_what_may_mean_anything_is_refused_with_the_line(line: str) -> None:
    with pytest.raises(ValueError, match="its last line is no number and no JSON object: ") as caught:
        returned(f"5.0\n{line}\n")
    assert str(caught.value).endswith(
        f'object: {line!r}; print the return alone on the last line, as 0.42 or as {{"return": 0.42}}'
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it printed nothing; expected the return as its last line"),
        (" \r\n\0\ufeff \n", "it printed nothing; expected the return as its last line"),
        ("\x1b[0m\n", "it printed nothing; expected the return as its last line"),
        ("7\0.\0005\0", r"its last line has zero bytes, as UTF-16 has: '7\x00.\x005'; print UTF-8"),
        ("0" * (MAX_LINE_LENGTH + 1), "its last line is longer than 100000 characters"),
        ('{"return": true}', "return: expected a number, got true"),
        ('{"return": false, "peak": 1}', "return: expected a number, got false"),
    ],
)
def test_what_is_no_return_is_refused_with_what_to_do(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        returned(text)


def test_of_errors_the_last_line_is_what_a_terminal_shows() -> None:
    assert last_line("12 %\r99 %\r\x1b[31mError:\x1b[0m diverged\n\n") == "Error: diverged"
