"""The command `hitl console`: what it imports, what it prints, and what its death leaves."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console_bench import PLAN, ServedEngine, eventually

from policysearch.command_line import Refusal
from policysearch.hitl.__main__ import main
from policysearch.hitl.session import Session
from policysearch.watch.shell.address import Address, AddressFlags, address
from policysearch.watch.shell.roles import Roles

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("numpy", "pandas", "scipy", "matplotlib", "numba", "jinja2")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedEngine]:
    (tmp_path / "session.sqlite").touch()  # the engine of this test has its log in memory
    engine = ServedEngine(tmp_path, speed=1.0)
    yield engine
    engine.close()


Started = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def console() -> Iterator[Started]:
    """What starts consoles, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
            process = stack.enter_context(started(folder, *arguments))
            stack.callback(process.kill)
            return process

        yield start


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    code = (
        "import sys; from policysearch.watch.shell import serve\n"
        "from policysearch.watch.console import command\n"
        f"def lighter(*given): print('heavy', [name for name in {HEAVY} if name in sys.modules]); serve.serve(*given)\n"
        "command.serve = lighter\n"
        "from policysearch.hitl.__main__ import main; sys.exit(main(['console', *sys.argv[1:]]))"
    )
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(folder), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def printed(process: "subprocess.Popen[str]") -> list[str]:
    """What it prints until it serves."""
    lines: list[str] = []
    assert process.stdout is not None
    while not lines or not lines[-1].startswith("heavy"):
        lines.append(process.stdout.readline())
        assert lines[-1], lines
    return lines


def test_the_process_is_light_its_links_outlive_it_and_its_death_stops_nothing(
    served: ServedEngine, tmp_path: Path, console: Started
) -> None:
    process = console(tmp_path, "--port", "0")
    lines = printed(process)
    assert lines[-1] == "heavy []\n"
    assert "not the emergency stop" in lines[-2]
    roles = {line.split()[0]: line.split()[1] for line in lines[:-2]}
    assert [*roles] == ["operator", "blind", "participant", "viewer"]
    served.session.confirm()
    served.engine.start()
    process.kill()
    process.communicate()
    assert served.engine.phase == "walking"
    port = re.search(r":(\d+)/", roles["viewer"])
    assert port
    again = console(tmp_path, "--port", port[1])
    assert printed(again)[:-2] == lines[:-2]
    other = console(tmp_path, "--port", port[1])
    assert "cannot listen there" in other.communicate(timeout=60)[0]
    assert other.returncode == 4
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=60)
    assert again.returncode == 130
    assert served.engine.phase == "walking"


def test_without_an_engine_one_is_started_and_continues_the_session(tmp_path: Path, console: Started) -> None:
    with Session.begin(PLAN, tmp_path / "session.sqlite") as session:
        session.note("before")
    process = console(tmp_path, "--port", "0")
    printed(process)
    place = json.loads((tmp_path / "engine.json").read_text())
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(place["socket"])
        assert json.loads(client.makefile("rb").readline())["state"]["phase"] == "confirm"
    process.kill()
    process.communicate()
    eventually(lambda: not (tmp_path / "engine.json").exists())  # alone, it ends by itself


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"port": 70_000}, "--port: expected 0 to 65535, got 70000"), ({"listen": "0.0.0.0"}, "needs TLS"),  # noqa: S104
        ({"listen": "lab-pc"}, "--listen: expected an address in numbers, got 'lab-pc'"), ({"listen": "::"}, "needs TLS"),
        ({"certificate": Path("c.pem")}, "which needs both files"), ({"key": Path("k.pem")}, "which needs both files"),
        ({"listen": "192.0.2.7", "key": Path("k.pem")}, "needs TLS"),
        ({"certificate": Path("/no/c.pem"), "key": Path("/no/k.pem")}, "--certificate, --key: cannot be used"),
    ],
)  # fmt: skip
def test_an_address_that_others_reach_needs_tls(flags: dict[str, object], words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)):
        address(AddressFlags(**flags), 8620)  # type: ignore[arg-type]


def test_the_names_of_an_address_are_its_own_and_those_that_were_given() -> None:
    lab = Address("192.0.2.7", 8620, ("Lab-PC",), Path("c"), Path("k"))
    assert lab.hosts == {f"{n}:8620" for n in ("192.0.2.7", "lab-pc", "127.0.0.1", "localhost", "[::1]")}
    assert "https://lab-pc:8620" in lab.origins
    assert "lab-pc" in Address("192.0.2.7", 443, ("lab-pc",), Path("c"), Path("k")).hosts
    assert Address("::1", 80).link == "http://[::1]:80"
    assert address(AddressFlags(listen="127.0.0.2"), 8620).hosts >= {"127.0.0.2:8620"}


def test_with_a_certificate_pages_come_by_tls_and_cookies_are_secure(
    served: ServedEngine, tmp_path: Path, console: Started
) -> None:
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("no openssl to make a certificate")
    pair = ["-keyout", str(tmp_path / "k.pem"), "-out", str(tmp_path / "c.pem")]
    how = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([openssl, *how, *pair], check=True, capture_output=True)
    process = console(
        tmp_path, "--port", "0", "--certificate", pair[3], "--key", pair[1], "--host", "localhost"
    )
    link = printed(process)[0].split()[1]
    assert link.startswith("https://localhost:")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusting), Stay())
    with pytest.raises(urllib.error.HTTPError) as answer:
        opener.open(link, timeout=30)
    assert answer.value.code == 303
    assert "Secure" in answer.value.headers["set-cookie"]
    answer.value.close()
    process.kill()
    process.communicate()


class Stay(urllib.request.HTTPRedirectHandler):
    """Do not follow."""

    def redirect_request(self, *_: object) -> None:
        return None


def test_tokens_are_kept_unless_others_may_read_or_have_planted_them(tmp_path: Path) -> None:
    path = tmp_path / "console.json"
    roles = Roles.kept(path, ("operator", "viewer"))
    assert Roles.kept(path, ("operator", "viewer")) == roles
    assert Roles.kept(path, ("operator", "viewer", "another")) != roles
    for spoil in (
        lambda: path.chmod(0o644), lambda: path.write_text("{"), lambda: path.write_text('{"operator": "a", "viewer": 7}'),
        lambda: (path.unlink(), path.symlink_to(tmp_path / "elsewhere")), path.unlink,
    ):  # fmt: skip
        before = Roles.kept(path, ("operator", "viewer"))
        spoil()
        after = Roles.kept(path, ("operator", "viewer"))
        assert not {*before.tokens.values()} & {*after.tokens.values()}
        assert path.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_is_refused_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["console", str(tmp_path)]) == 2
    assert (
        "no session is there; to begin one: python -m policysearch.hitl run --out" in capsys.readouterr().err
    )
    assert main(["console", str(tmp_path), "--listen", "0.0.0.0"]) == 2  # noqa: S104
    assert "needs TLS" in capsys.readouterr().err
