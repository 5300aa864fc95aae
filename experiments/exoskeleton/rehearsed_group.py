"""Simulated participants through a protocol by `hitl rehearse`, one after the other, and one page of all of them.

    python experiments/exoskeleton/rehearsed_group.py --out results/rehearsal

Each is another person of the preset, with codes P01, P02, …, which decide the balanced orders; prompts are answered
by the rehearsal itself, without a device. Writes a row per participant into rehearsed.csv: the order of the
conditions, whether the key was opened at the end, what was measured and what is true. The folders of the sessions lie
in --sessions.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import tyro

from policysearch.files import write_text
from policysearch.hitl.__main__ import main as hitl
from policysearch.hitl.live import PersonName, truth
from policysearch.hitl.view import SessionView
from policysearch.reporting.tables import csv


@dataclass(frozen=True)
class Arguments:
    """Who walks what."""

    out: Path
    """Folder for rehearsed.csv and the page of the group."""

    sessions: Path = Path("policysearch-results/rehearsal")
    """Folder for the sessions, one below it for each participant."""

    protocol: str = "poggensee2021"
    """A protocol file, or the name of one in the package."""

    participants: int = 12
    """How many."""

    people: str = "novice"
    """Kind of people."""


def rows(arguments: Arguments) -> Iterator[dict[str, Any]]:
    """A row per participant, once the session is over."""
    for number in range(1, arguments.participants + 1):
        code, began = f"P{number:02d}", time.perf_counter()
        flags = ["--participant", code, "--number", f"{number}", "--people", arguments.people, "--speed", "0"]
        out = arguments.sessions / code
        code_of = hitl(
            [
                "rehearse",
                "--protocol",
                arguments.protocol,
                "--out",
                f"{out}",
                "--unattended",
                "--no-device",
                *flags,
            ]
        )
        if code_of != 0:
            sys.exit(code_of)
        session = SessionView.of(out / "session.sqlite")
        walked = [
            entry.condition for entry in session.entries if entry.purpose == "validation" and entry.counts
        ]
        opened = [number for number, (kind, _) in enumerate(session.events, 1) if kind == "unblind"]
        last = [number for number, (kind, _) in enumerate(session.events, 1) if kind == "bout"][-1]
        measured = session.validation().set_index("condition")["reduction"].to_dict()
        true = truth(session, PersonName(arguments.people, number, 0))
        yield {
            "participant": code,
            "order": " ".join(walked[: len(set(walked))]),
            "days": session.day,
            "bouts": len(session.entries),
            "key opened after the last bout": bool(opened) and opened[0] > last,
            "measured optimized": measured.get("optimized"),
            "measured reference": measured.get("reference"),
            "true optimized": true.optimized,
            "true reference": true.reference,
            "true best": true.best,
        }
        print(f"{code}: {time.perf_counter() - began:.0f} s", file=sys.stderr)


def main(arguments: Arguments) -> None:
    """Rehearse, and write the table and the page."""
    table = pd.DataFrame(list(rows(arguments)))
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_text(arguments.out / "rehearsed.csv", csv(table))
    folders = [f"{arguments.sessions / code}" for code in table["participant"]]
    sys.exit(hitl(["group", *folders, "--out", f"{arguments.out}"]))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
