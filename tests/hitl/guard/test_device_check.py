"""`hitl device-check`: the table of faults on any device."""

import re
from pathlib import Path

import pytest

from policysearch.hitl.__main__ import main
from policysearch.hitl.guard.faults import OF_DEVICE, OF_OWNER

DEVICES = """
from policysearch.hitl.guard.device import Description, SimulatedAnkle

class Ankle(SimulatedAnkle):
    def describe(self):
        return Description("<17>", "2.0", self.sides, highest=4.0, watchdog=0.05)

class Stuck(Ankle):  # its motor keeps the torque
    def measured(self):
        self.most = max(getattr(self, "most", (0.0, 0.0)), self._torque)
        return (self.most[0] + 30.0 if self.most[0] > 1.0 else 0.0, 0.0)
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "devices.py").write_text(DEVICES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def check(device: str, *only: str) -> int:
    return main(["device-check", device, "--option", "log=ankle.csv", "--only", *only])


def test_a_good_device_gets_a_page_on_which_all_is_as_expected(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("devices:Ankle", "stall", "once", "law") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:3]] == ["stall", "once", "law"]
    page = Path("device-check/report.html").read_text(encoding="utf-8")
    assert (
        "Serial &lt;17&gt;, firmware 2.0, sides left, right; its own limit\n4 N·m, its watchdog 0.05 s"
        in page
    )
    assert len(re.findall("<td>as expected</td>", page)) == 3
    assert re.search(r"left: the stride has stood at .* % for 0\.2\d? s|left: the stride has stood", page)
    assert "Software limits replace neither the device's firmware limits nor its physical stop." in page
    highest = [float(text) for text in re.findall(r"<td>([\d.]+) N·m</td>", page)]
    assert 2.0 < max(highest) <= 4.0  # the device's own limit, below the 5 N·m that were asked for
    assert "SCHED_FIFO" in page


def test_a_device_whose_motor_does_not_follow_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("devices:Stuck", "once") == 1
    assert "once     expected no stop" in capsys.readouterr().out
    assert "were measured" in Path("device-check/report.html").read_text(encoding="utf-8")


@pytest.mark.nightly
@pytest.mark.parametrize("fault", [fault.name for fault in (*OF_DEVICE, *OF_OWNER)])
def test_every_fault_is_answered_as_the_table_says(fault: str) -> None:
    assert check("devices:Ankle", fault) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ankle"], "error: device: expected 'module:name', got 'ankle'"),
        (["devices:Nothing"], "was not opened: AttributeError: module 'devices' has no attribute 'Nothing'"),
        (["devices:Ankle", "--only", "rain"], "error: --only rain: there are stall, jump, "),
        (["devices:Ankle", "--torque", "0"], "error: --torque: expected a positive number of N·m, got 0"),
        (["devices:Ankle", "--option", "log"], "error: --option log: expected NAME=VALUE"),
    ],
)
def test_what_cannot_be_checked_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["device-check", *arguments]) == 2
    assert message in capsys.readouterr().err
