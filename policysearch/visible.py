"""Text from outside, such as names, reasons and messages, as it is shown and written: characters, never commands.

A terminal obeys control characters, and a spreadsheet computes a cell that begins with = + - or @
(CWE-150, CWE-1236).
"""

import re

#: Control characters but bell, tab and the end of a line, and those that change the direction of what follows.
_COMMANDS = re.compile(r"[\x00-\x06\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")
_SURROGATES = re.compile(r"[\ud800-\udfff]")  # bytes of a name of a file that are no UTF-8
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(inf|nan)", re.IGNORECASE)
#: A place where a spreadsheet expects a formula: the begin of a cell, also where semicolons or lines separate cells.
_BEFORE, _FORMULA = r"(?:^|(?<=[;\n]))", r"(?='*[=+\-@\t\r])"
_COMPUTED, _QUOTED = re.compile(_BEFORE + _FORMULA), re.compile(f"{_BEFORE}'{_FORMULA}")


def visible(text: str) -> str:
    r"""The text, its commands to a terminal written as `\u001b`, a character that has no code as a question mark."""
    text = _SURROGATES.sub("?", text)
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def inert(cell: str) -> str:
    """The text of a cell, with an apostrophe before what a spreadsheet would compute; a number stays."""
    return cell if _NUMBER.fullmatch(cell) else _COMPUTED.sub("'", cell)


def original(cell: str) -> str:
    """The text of which `inert` has made a cell."""
    return _QUOTED.sub("", cell) if "'" in cell else cell
