"""Files of configuration, as editors of all systems write them."""

import re
from pathlib import Path

import pytest

from policysearch.configuration import read_toml

TEXT = 'unit = "N·m/rad"\n[parameters."K p"]\nstart = 1.0\n'
READ = {"unit": "N·m/rad", "parameters": {"K p": {"start": 1.0}}}


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.replace("\n", "\r\n").encode("utf-8-sig"),
        TEXT.replace("\n", "\r\n").encode("utf-16"),
        TEXT.rstrip().encode(),
    ],
    ids=range(7),
)
def test_a_file_is_read_whatever_system_it_comes_from(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "my gains-ü-(final).toml").write_bytes(raw)
    assert read_toml(tmp_path / "my gains-ü-(final).toml") == READ


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'a = 1\r\nunit = "N\xb7m"\r\n', "not UTF-8: byte 0xB7 in line 2; save it as UTF-8"),
        ("a = 1\n".encode("utf-16-le"), "not valid TOML: "),
        ("a = 1\n".encode("utf-16-le"), "it has zero bytes, as UTF-16 has: save it as UTF-8"),
        (b"a = \n", "not valid TOML: Invalid value (at line 1, column 5)"),
        (b"kp = 1,5\n", "not valid TOML: "),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "a.toml").write_bytes(raw)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_toml(tmp_path / "a.toml")
