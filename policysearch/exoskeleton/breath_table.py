"""Tables of a metabolic cart's file: text, a workbook (xlsx), or XML of Excel 2003. Every cell is text.

Text is UTF-8, UTF-16 or Latin-1, its cells separated by tabs, semicolons or commas. A document type in XML is
refused, so no entity is ever expanded; so is what unpacks to more than `MAX_UNPACKED` bytes. xlsx needs openpyxl (the
extra lab).
"""

import codecs
import csv
import datetime
import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple
from xml.parsers import expat

#: The most that is read of a file: some days of breaths; and the most that a workbook may unpack to.
MAX_BYTES, MAX_UNPACKED = 2**24, 2**28
MAX_COLUMNS = 1000
_SS = "urn:schemas-microsoft-com:office:spreadsheet"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"


class BreathTable(NamedTuple):
    """A table of a file."""

    rows: list[tuple[int, list[str]]]  # with their numbers, from 1; without empty ones
    commas: bool = False  # whether commas separate the cells, so that none is a decimal mark


def tables(data: bytes, *, complete: bool = True) -> Iterator[BreathTable]:
    """The tables that the bytes of a file may hold: text by each separator, or the sheets of a workbook.

    Args:
        data: the bytes.
        complete: whether the last line of a text has come to its end.

    Raises:
        ValueError: for a workbook that cannot be read.
    """
    start = data[:400].replace(b"\0", b"").removeprefix(codecs.BOM_UTF8).lstrip()
    if data.startswith(b"PK"):
        yield from _sheets(data)
    elif data.startswith(_OLD_WORKBOOK):
        raise ValueError("expected text, xlsx or XML, got a workbook of Excel 97; save it as xlsx or csv")
    elif b"<?xml" in start or start.startswith(b"<Workbook"):
        yield from map(BreathTable, _xml_tables(data))
    else:
        lines = _lines(data, complete=complete)
        for separator in "\t;,":
            rows = [(number, _cells(line, separator)) for number, line in enumerate(lines, 1)]
            yield BreathTable([row for row in rows if any(map(str.strip, row[1]))], separator == ",")


def _lines(data: bytes, *, complete: bool) -> list[str]:
    wide = next((code for code, bom in _WIDE.items() if data.startswith(bom)), "")
    for code, zeros in (("utf-16-le", data[1:40:2]), ("utf-16-be", data[0:40:2])):
        wide = wide or (code if zeros and not any(zeros) else "")
    if wide:
        text = data.decode(wide, errors="ignore").removeprefix("\ufeff")
    else:
        data = data if complete else data[: data.rfind(b"\n") + 1]
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    lines = text.replace("\r\n", "\n").split("\n")
    return [part for line in (lines if complete else lines[:-1]) for part in line.split("\r")]


_WIDE = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return [line[:100]]


def _sheets(data: bytes) -> Iterator[BreathTable]:
    try:
        import openpyxl  # noqa: PLC0415 - an extra
    except ImportError:
        raise ValueError(
            "a workbook needs openpyxl: pip install 'policysearch[lab]'; or save it as csv"
        ) from None
    try:
        _check_archive(data)
        with warnings.catch_warnings(action="ignore"):
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # it may state less than there is
                rows = enumerate(sheet.iter_rows(max_col=MAX_COLUMNS, values_only=True), 1)
                texts = ((number, [_text(cell) for cell in row]) for number, row in rows)
                yield BreathTable([row for row in texts if any(row[1])])
    except Exception as error:  # a damaged workbook may raise anything
        raise ValueError(f"expected a workbook (xlsx), got: {type(error).__name__}: {error}") from error


def _check_archive(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if (size := sum(part.file_size for part in archive.infolist())) > MAX_UNPACKED:
            raise ValueError(f"it unpacks to {size:,} bytes, at most {MAX_UNPACKED:,} are read")
        for part in archive.infolist():
            if b"<!DOCTYPE" in archive.read(part).replace(b"\0", b""):
                raise ValueError(f"{part.filename} has a document type, which is not read")


def _text(cell: Any) -> str:
    """A cell of a workbook as text; a time is h:mm:ss, a number has a point."""
    if isinstance(cell, datetime.timedelta):
        return f"{cell // datetime.timedelta(minutes=1)}:{cell.total_seconds() % 60.0:09.6f}"
    if isinstance(cell, datetime.time | datetime.datetime):
        return cell.isoformat()
    return "" if cell is None else str(cell).strip()


def _xml_tables(data: bytes) -> list[list[tuple[int, list[str]]]]:
    """The worksheets of XML of Excel 2003 (SpreadsheetML)."""
    found: list[list[tuple[int, list[str]]]] = []
    number, cells, reading = 0, list[str](), False
    parser = expat.ParserCreate(namespace_separator=" ")

    def place(attributes: dict[str, str], after: int, most: int) -> int:
        index = attributes.get(f"{_SS} Index", f"{after + 1}")
        if not re.fullmatch("[0-9]{1,7}", index) or not after < int(index) <= most:
            raise ValueError(f"expected an index of {after + 1} to {most}, got {index!r}")
        return int(index)

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal number, cells, reading
        match name.rpartition(" ")[2]:
            case "Worksheet":
                found.append([])
                number = 0
            case "Row":
                number, cells = place(attributes, number, 2**20), []
            case "Cell":
                cells += [""] * (place(attributes, len(cells), MAX_COLUMNS) - len(cells))
            case "Data":
                reading = bool(cells)

    def end(name: str) -> None:
        nonlocal reading
        reading = reading and name != f"{_SS} Data"
        if name == f"{_SS} Row" and found and any(map(str.strip, cells)):
            found[-1].append((number, cells))

    def characters(text: str) -> None:
        if reading:
            cells[-1] += text

    def refuse(*_: object) -> None:
        raise ValueError("it has a document type, which is not read")

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = characters, refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError) as error:
        raise ValueError(f"expected XML of Excel 2003, got: {error}") from error
    return found
