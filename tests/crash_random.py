"""Kills commands at random times, goes on with them, and compares the results with those of calm ones.

`python crash_random.py FROM TO FOLDER` makes the kills FROM … TO - 1. What came of each is a line of FOLDER/kills.jsonl;
a kill that is there is not made again, so that any number of them can be made in parts. The time of a kill is drawn
from its number, over all phases of a command: reading, searching, tuning, reporting. Every command runs in a forked
process, so that the imports are paid once, and writes blank pictures.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from conftest import without_pictures
from crash_matrix import in_a_process, tables

from policysearch.compare.__main__ import main as compare
from policysearch.compare.journal import NAME
from policysearch.hitl.__main__ import main as hitl
from policysearch.hitl.view import SessionView
from policysearch.ledger import read
from policysearch.seeding import stream
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune

SMALL = ["--tasks", "lqr", "--rollouts", "40", "--runs", "2", "--optimizers"]
METHODS = ("cma-es", "nelder-mead", "off-policy-reinforce", "whitened:ars")
SPACE = Space((Parameter("a", 1.0), Parameter("b", -1.0)))


def comparing(*flags: str) -> Callable[[Path], None]:
    def command(out: Path) -> None:
        assert compare([*SMALL, *flags, "--out", str(out)]) == 0

    return command


def starting_over(out: Path) -> None:
    """A comparison with --fresh in the folder of a finished one, a copy of the one next to it."""
    copy = out.with_name(f"copy for {out.name}")
    if not out.exists():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(out.with_name("old"), copy)
        copy.rename(out)
    comparing("nelder-mead", "--workers", "1", "--seed", "1", "--fresh")(out)


def of_both(out: Path) -> list[str]:
    """The tables; everything of the finished study is in a ledger next to theirs."""
    assert read(out.with_name("old") / NAME) in [read(kept) for kept in out.glob("ledger.*.sqlite")]
    return tables(out)


def cost(params: dict[str, float], seed: int) -> float:
    return params["a"] ** 2 + params["b"] ** 2 + float(stream(seed).normal())


def tuning(out: Path) -> None:
    out.mkdir(exist_ok=True)
    result = tune(cost, SPACE, 60, "cma-es", out=out)
    (out / "result.csv").write_text(result.history.to_csv(), encoding="utf-8")


def simulating(out: Path) -> None:
    assert hitl(["simulate", "--bouts", "8", "--validation", "0", "--speed", "0", "--out", str(out)]) == 0


def of_session(out: Path) -> list[Any]:
    history = SessionView.of(out / "session.sqlite").history
    return [[entry.law.tolist(), entry.rate, entry.status] for entry in history]


#: What is run, and what has to be the same in the end.
COMMANDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    **{f"compare {name}": (comparing(name, "--workers", "1"), tables) for name in METHODS},
    "compare, tuned": (comparing("cma-es", "--tune", "2", "--workers", "1"), tables),
    "compare, sequential": (comparing("cma-es", "ars", "--settle", "2", "--workers", "1"), tables),
    "compare, workers": (comparing("cma-es", "ars", "--workers", "2"), tables),
    "compare, fresh": (starting_over, of_both),
    "tune": (tuning, lambda out: (out / "result.csv").read_text(encoding="utf-8")),
    "simulate": (simulating, of_session),
}


def quietly(command: Callable[[Path], None], out: Path) -> None:
    with contextlib.ExitStack() as stack:
        nothing = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(nothing))
        stack.enter_context(contextlib.redirect_stderr(nothing))
        stack.enter_context(without_pictures())
        command(out)


def killed(command: Callable[[Path], None], out: Path, seconds: float) -> bool:
    """Run a command and kill it after so many seconds; whether it had not ended by itself."""
    pid = os.fork()
    if pid == 0:
        try:
            quietly(command, out)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def kill(number: int, folder: Path) -> dict[str, Any]:
    """Make a kill; up to three in a row on the same results."""
    rng = stream("kill", number)
    name = list(COMMANDS)[number % len(COMMANDS)]
    command, results = COMMANDS[name]
    calm, out = folder / f"calm {name}", folder / f"kill {number}"
    if not (calm / "seconds").exists():
        if command is starting_over and not (folder / "old").exists():
            assert in_a_process(lambda: quietly(comparing("ars", "--workers", "1"), folder / "old")) == 0
        began = time.monotonic()
        assert in_a_process(lambda: quietly(command, calm)) == 0, name
        (calm / "seconds").write_text(str(time.monotonic() - began), encoding="utf-8")
    limit = float((calm / "seconds").read_text(encoding="utf-8"))
    times = [float(limit * rng.random() ** 0.7) for _ in range(int(rng.integers(1, 4)))]
    hits = [killed(command, out, seconds) for seconds in times]
    code = in_a_process(lambda: quietly(command, out))
    same = code == 0 and bool(np.array_equal(repr(results(out)), repr(results(calm))))
    if same:
        shutil.rmtree(out)
    return {"number": number, "command": name, "kills": sum(hits), "code": code, "same": same}


def made(folder: Path) -> list[dict[str, Any]]:
    """What came of the kills so far."""
    file = folder / "kills.jsonl"
    return (
        [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    )


def make(numbers: range, folder: Path) -> list[dict[str, Any]]:
    """The kills with these numbers, of which those that are not known are made now."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {entry["number"] for entry in made(folder)}
    with (folder / "kills.jsonl").open("a", encoding="utf-8") as file:
        for number in numbers:
            if number not in known:
                print(json.dumps(kill(number, folder)), file=file, flush=True)
    return [entry for entry in made(folder) if entry["number"] in numbers]


if __name__ == "__main__":
    found = make(range(int(sys.argv[1]), int(sys.argv[2])), Path(sys.argv[3]))
    different = [entry for entry in found if not entry["same"]]
    print(
        f"{sum(entry['kills'] for entry in found)} kills in {len(found)} runs, {len(different)} of them differ"
    )
    for entry in different:
        print(json.dumps(entry))
    sys.exit(bool(different))
