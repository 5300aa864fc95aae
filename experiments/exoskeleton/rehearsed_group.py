"""Simulated participants through a protocol by `hitl rehearse`, one after the other, and one page of all of them.

    python experiments/exoskeleton/rehearsed_group.py --out results/rehearsal

Each is another person of the preset, with codes P01, P02, …, which decide the balanced orders; prompts are answered
by the rehearsal itself, without a device. Writes a row per participant into rehearsed.csv: the order of the
conditions, whether the key was opened at the end, what was measured and what is true; README.md with a picture says
what it shows. The folders of the sessions lie in --sessions; a rehearsal that was stopped is continued.
"""

import io
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import tyro
from PIL import Image

from policysearch.files import write_text
from policysearch.hitl import LOG
from policysearch.hitl.__main__ import main as hitl
from policysearch.hitl.group import differences, gathered, picture, sentences
from policysearch.hitl.live import PersonName, truth
from policysearch.hitl.log import has_begun
from policysearch.hitl.view import SessionView
from policysearch.reporting.figures import png
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

    cart: str = "cosmed"
    """Layout of the emulated cart's file."""


def is_over(log: Path) -> bool:
    """Whether a rehearsal has come to its end."""
    if not has_begun(log):
        return False
    session = SessionView.of(log)
    return session.next is None and not session.is_blind


def rows(arguments: Arguments) -> Iterator[dict[str, Any]]:
    """A row per participant, once the session is over."""
    for number in range(1, arguments.participants + 1):
        code, began = f"P{number:02d}", time.perf_counter()
        flags = ["--participant", code, "--number", f"{number}", "--people", arguments.people]
        flags += ["--cart", arguments.cart, "--speed", "0"]
        out = arguments.sessions / code
        flags += ["--protocol", arguments.protocol, "--out", f"{out}", "--unattended", "--no-device"]
        if not is_over(out / LOG) and (code_of := hitl(["rehearse", *flags])) != 0:
            sys.exit(code_of)
        session = SessionView.of(out / LOG)
        walked = [
            entry.condition for entry in session.entries if entry.purpose == "validation" and entry.counts
        ]
        opened = [number for number, (kind, _) in enumerate(session.events, 1) if kind == "unblind"]
        last = [number for number, (kind, _) in enumerate(session.events, 1) if kind == "bout"][-1]
        measured = session.validation().set_index("condition")["reduction"].to_dict()
        true = truth(session, PersonName(arguments.people, number, 0))
        yield {
            "participant": code,
            "order": ", ".join(dict.fromkeys(walked)),
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


def readme(table: pd.DataFrame, found: list[str], arguments: Arguments) -> str:
    """The page: what the group's page says, the orders, the key, and the truth."""
    count, orders = len(table), table["order"].value_counts()
    opened = int(table["key opened after the last bout"].sum())
    means = table[[name for name in table.columns if name.startswith(("measured", "true"))]].mean()
    shown = [
        f"| {row['participant']} | {row['order']} | {row['bouts']} | "
        + " | ".join(f"{row[name]:.1f}" for name in means.index)
        + " |"
        for row in table.to_dict("records")
    ]
    mean = " | ".join(f"{value:.1f}" for value in means)
    return f"""# A study of {count} simulated people, rehearsed

{count} simulated people ({arguments.people}) walked the protocol `{arguments.protocol}` to its end by
`policysearch hitl rehearse`: the engine, the prompts and the log of a lab day, with an emulated cart that writes the
file of a {arguments.cart.upper()}, and without a device. `policysearch hitl group` made [one page](group.html).

    python experiments/exoskeleton/rehearsed_group.py --out results/rehearsal

![Rates of every person under the conditions; mean differences](group.png)

{chr(10).join(f"- {line}" for line in found)}

**Orders**: {"; ".join(f"{order}: {people}" for order, people in orders.sort_index().items())}.

**The key** of the letters was opened after the last bout in {opened} of {count} sessions, and the log has its reason.

In % less net energy than without torque, as the validation measured it, and as it is true at the end of the search:

| person | order | bouts | {" | ".join(means.index)} |
| --- | --- | --- | {" | ".join("---" for _ in means)} |
{chr(10).join(shown)}
| mean | | | {mean} |

"True best" is the best law of the person. The people are models
([how they were made](../exoskeleton/README.md)): the table shows that a whole study runs, not what people would gain.
"""


def main(arguments: Arguments) -> None:
    """Rehearse, and write the tables and the pages."""
    table = pd.DataFrame(list(rows(arguments)))
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_text(arguments.out / "rehearsed.csv", csv(table))
    folders = [arguments.sessions / code for code in table["participant"]]
    code = hitl(["group", *map(str, folders), "--out", f"{arguments.out}"])
    members = gathered(folders, {})
    found = differences(members)
    with Image.open(io.BytesIO(png(picture(members, found)))) as drawn:
        drawn.quantize(32).save(arguments.out / "group.png", optimize=True)
    write_text(arguments.out / "README.md", readme(table, sentences(found), arguments))
    sys.exit(code)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
