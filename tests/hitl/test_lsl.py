"""Streams of the Lab Streaming Layer: in a network namespace, as they would be open to everybody elsewhere."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from policysearch.hitl import lsl
from policysearch.hitl.engine import server
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session

ROOT = Path(__file__).parent.parent.parent
CONFIGURATION = "[multicast]\nResolveScope = machine\n"


def why_not() -> str:
    """Why streams cannot be tried here; empty if they can."""
    if importlib.util.find_spec("pylsl") is None:
        return "pylsl is not installed"
    if not shutil.which("unshare") or not shutil.which("ip"):
        return "there is no unshare, or no ip"
    tried = subprocess.run([shutil.which("unshare") or "", "-n", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "no network namespace can be made: it needs root"


def test_streams_in_and_out_in_a_network_of_their_own(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    configuration = tmp_path / "lsl_api.cfg"
    configuration.write_text(CONFIGURATION)
    script = f"ip link set lo up && exec {sys.executable} {ROOT / 'tests/hitl/lsl_streams.py'}"
    finished = subprocess.run(
        [shutil.which("unshare") or "", "-n", "sh", "-c", script], capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "LSLAPICFG": str(configuration), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert finished.stdout == "all of it\n"


def test_without_the_package_a_session_with_streams_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "session.sqlite"
    Session.begin(SessionPlan(), path).close()
    with (
        mock.patch.dict(sys.modules, {"pylsl": None}),
        pytest.raises(ValueError, match=r"lsl: .*; install policysearch\[lab\]"),
    ):
        server.opened(str(path), None, {"breaths": "lsl:cart"}, {})
    Session.resume(path).close()  # no one has it open


def test_no_stream_is_opened_unless_it_is_asked_for(tmp_path: Path) -> None:
    with mock.patch.object(lsl, "imported", side_effect=AssertionError):
        engine = server.opened(str(tmp_path / "session.sqlite"), SessionPlan().document(), {}, {})
    assert (engine.inlet.stream, engine.inlet.number, engine.inlet.markers) == (None, None, "")
    engine.session.close()


@pytest.mark.parametrize(("objective", "fits"), [("lsl:speed", True), ("lsl:", False), ("lsl", False)])
def test_an_objective_may_be_a_stream(objective: str, fits: bool) -> None:
    if fits:
        assert not SessionPlan(objective=objective).is_breathed
        return
    with pytest.raises(
        ValueError, match="objective: expected metabolic, heart rate, typed or lsl:SOURCE_ID, got 'lsl"
    ):
        SessionPlan(objective=objective)
