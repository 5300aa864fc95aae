"""A simulated session that was killed between the writing of its plan and of its person continues."""

from pathlib import Path
from typing import Any

import in_process
import pytest

from policysearch.hitl.__main__ import main
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView

FLAGS = ["simulate", "--bouts", "8", "--validation", "0", "--speed", "0"]


@pytest.mark.usefixtures("blank_pictures_here")
def test_a_session_that_was_killed_before_its_person_was_written_down_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(session: Any, text: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Session, "note", killed)
        in_process.run(main, *FLAGS, "--out", str(tmp_path / "a"))
    assert SessionView.of(tmp_path / "a/session.sqlite").history == []
    other = in_process.run(main, *FLAGS, "--number", "3", "--out", str(tmp_path / "a"))
    assert "the session there is not one of a simulated person" in other.stderr
    done = in_process.run(main, *FLAGS, "--out", str(tmp_path / "a"))
    assert done.returncode == 0, done.stderr
