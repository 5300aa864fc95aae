"""The numbers of the command lines, bit for bit those that were recorded in `tests/assets/digests.json`."""

import json
from pathlib import Path

import digests
import pytest


@pytest.mark.nightly
def test_every_table_has_the_bits_that_were_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    recorded = json.loads(digests.RECORDED.read_text(encoding="utf-8"))
    if other := digests.other_versions(recorded["versions"]):
        pytest.skip(f"other bits may be right with {'; '.join(other)}")
    code = digests.main(["--against", str(digests.RECORDED)])
    assert code == 0, capsys.readouterr().out


def test_a_digest_leaves_out_times_and_nothing_else(tmp_path: Path) -> None:
    texts = [
        "run,wall_seconds,value\n0,1.5,2.0\n",
        "run,wall_seconds,value\n0,7.5,2.0\n",
        "run,wall_seconds,value\n0,1.5,2.1\n",
    ]
    found = []
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.csv").write_text(text, encoding="utf-8")
        found.append(digests.digest(tmp_path / f"{i}.csv"))
    assert found[0] == found[1] != found[2]
    assert digests.digest(tmp_path / "none.csv") == "no such table"


def test_differences_name_the_tables_that_differ_or_were_not_recorded() -> None:
    assert digests.differences({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "0", "d": "4"}) == [
        "b: was 0, is 2", "c: was not recorded, is 3",
    ]  # fmt: skip


def test_every_table_of_every_case_is_recorded() -> None:
    recorded = json.loads(digests.RECORDED.read_text(encoding="utf-8"))["digests"]
    assert set(recorded) == {
        f"{name}/{table}" for name, case in digests.CASES.items() for table in case.tables
    }
