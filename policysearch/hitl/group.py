"""`hitl group DIR…`: the conditions of the validations of several participants, compared in pairs; one page.

For participant i with the mean rates a_i and b_i under two conditions the difference is d_i = a_i − b_i. The estimate
is the mean of the d_i of all n who walked both, its 95 % interval mean ± t_{0.975, n−1} s_d/√n (Student 1908).
Nothing is corrected for the number of pairs. Differences are also given in % of the net rate without torque.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from tyro.conf import Positional, arg

from policysearch.command_line import Refusal, not_from_here, trusted
from policysearch.errors import MACHINE_TROUBLE
from policysearch.files import write_text
from policysearch.flags import Trust, flag, parsed
from policysearch.hitl import LOG
from policysearch.hitl.log import has_begun
from policysearch.hitl.plan import CONDITIONS
from policysearch.hitl.simulate import mean_and_interval
from policysearch.hitl.view import SessionView
from policysearch.reporting.figures import BLUE, GREY, figure_of
from policysearch.reporting.page import drawn, render
from policysearch.reporting.tables import csv, interval, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Fields of the plan that belong to a participant.
OWN = ("participant", "mass", "standing_rate", "seed", "start")
Row = dict[str, Any]
STATISTICS = ("mean", "sd", "low", "high")
#: Statuses of bouts that were walked and do not count.
OUT = ("void", "excluded", "undone", "set aside", "amended")


@dataclasses.dataclass(frozen=True)
class GroupFlags:
    """Compare the conditions of the validation over participants, in pairs, and write a page."""

    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="DIR …")]
    """The folders of the sessions, one of each participant."""

    out: Annotated[Path, flag("DIR")] = Path("group")
    """Folder of the page group.html and the tables participants.csv and differences.csv."""

    exclude: Annotated[list[str], flag("CODE=REASON …")] = dataclasses.field(default_factory=list)
    """Participants who are left out, and why; the page has the reasons."""

    trust: Trust = dataclasses.field(default_factory=list)
    """Modules outside policysearch that may be imported because a plan names them; not from the present folder."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A participant."""

    folder: Path
    session: SessionView
    left_out: str  # why; empty for a participant who is compared

    @property
    def code(self) -> str:
        """The code of the participant, as corrected."""
        return self.session.participant

    @cached_property
    def means(self) -> dict[str, tuple[float, float]]:
        """The rate (W/kg) and the reduction (%) by condition; or the value, and by how much it is better."""
        table = self.session.validation()[["condition", "rate", "reduction"]]
        return {name: (rate, reduction) for name, rate, reduction in table.to_numpy().tolist()}

    @property
    def units(self) -> tuple[str, str]:
        """The units of `means`."""
        plan = self.session.plan
        return plan.measured.unit, "% less" if plan.objective == "metabolic" else "better by"

    @property
    def order(self) -> str:
        """The conditions in the order in which they were first walked."""
        walked = [e.condition for e in self.session.entries if e.purpose == "validation" and e.counts]
        return ", ".join(dict.fromkeys(walked))

    @property
    def out(self) -> list[str]:
        """The bouts that do not count, and why."""
        return [
            f"bout {e.number} ({e.name}) {e.status}: {e.reason}"
            for e in self.session.entries
            if e.status in OUT
        ]


def command(argv: list[str], program: str) -> int:
    """Run the command line; returns the exit code: 1 if no participant can be compared."""
    flags = parsed(GroupFlags, argv, program)
    with not_from_here():
        trusted(flags.trust)
        members = gathered(flags.folders, _reasons(flags.exclude))
    found = differences([member for member in members if not member.left_out])
    try:
        flags.out.mkdir(parents=True, exist_ok=True)
        write_text(flags.out / "participants.csv", csv(pd.DataFrame(participants(members))))
        write_text(flags.out / "differences.csv", csv(pd.DataFrame(found)))
        write_text(flags.out / "group.html", page(members))
    except OSError as error:
        raise Refusal([f"{error.filename}: cannot write: {error.strerror}"], MACHINE_TROUBLE) from error
    for line in sentences(found):
        print(line)
    print(f"page: {flags.out / 'group.html'}")
    return 0 if found else 1


def _reasons(given: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    if wrong := [
        f"--exclude {''.join(each)}: expected CODE=REASON"
        for each in pairs
        if not (each[0] and each[2].strip())
    ]:
        raise Refusal(wrong)
    return {code: reason.strip() for code, _, reason in pairs}


def gathered(folders: Sequence[Path], excluded: dict[str, str]) -> list[Member]:
    """The participants of sessions.

    Raises:
        Refusal: for a folder without a session, two sessions of one participant, or an unknown code.
    """
    if wrong := [f"{folder}: no session is there" for folder in folders if not has_begun(folder / LOG)]:
        raise Refusal(wrong)
    members = list[Member]()
    for folder in folders:
        session = SessionView.of(folder / LOG)
        why = excluded.get(session.participant, "")
        if not why and session.is_blind:
            why = "the conditions are letters until they are opened (unblind REASON)"
        elif not why and len(session.validation()) < 2:
            why = "fewer than two conditions of the validation were measured"
        elif not why and members and session.plan.measured != members[0].session.plan.measured:
            why = f"another objective, {session.plan.measured.name}"
        members.append(Member(folder, session, why))
    count = Counter(member.code for member in members)
    wrong = [
        f"{m.folder}: participant {m.code!r} is given more than once" for m in members if count[m.code] > 1
    ]
    wrong += [
        f"--exclude {code}: no session is of this participant" for code in excluded if code not in count
    ]
    if wrong:
        raise Refusal(wrong)
    return members


def differences(compared: Sequence[Member]) -> list[Row]:
    """A row per pair of conditions: mean difference with its 95 % interval, in the unit of what was measured.

    Metabolic rates have both W/kg and % of the net rate without torque.
    """
    rows = []
    for b, a in itertools.combinations(conditions(compared), 2):
        both = [member.means for member in compared if {a, b} <= member.means.keys()]
        row: Row = {"condition": a, "than": b, "participants": len(both)}
        plan = compared[0].session.plan
        units = [(plan.measured.unit, 1.0), *([("%", -1.0)] if plan.objective == "metabolic" else [])]
        for place, (unit, sign) in enumerate(units):
            values = [sign * (means[a][place] - means[b][place]) for means in both]
            found = mean_and_interval(values) if both else [np.nan] * 4
            row |= {f"{name} ({unit})": value for name, value in zip(STATISTICS, found, strict=True)}
        rows += [row] if both else []
    return rows


def conditions(compared: Sequence[Member]) -> list[str]:
    """The conditions that somebody walked, that without torque first."""
    planned = (*CONDITIONS, *(name for member in compared for name in member.session.plan.validated))
    return [name for name in dict.fromkeys(planned) if any(name in member.means for member in compared)]


def participants(members: Sequence[Member]) -> list[Row]:
    """A row per participant."""
    rows = []
    for member in members:
        row: Row = {"participant": member.code, "folder": str(member.folder), "left out": member.left_out}
        if not member.session.is_blind:
            row["order"] = member.order
            for name, (rate, reduction) in member.means.items():
                unit, less = member.units
                row |= {f"{name} ({unit})": rate, f"{name} ({less})": reduction}
        rows.append(row | {"bouts that do not count": "; ".join(member.out)})
    return rows


def other_plans(compared: Sequence[Member]) -> list[str]:
    """Where the plans differ, other than in what belongs to a participant."""
    plans, lines = {member.code: member.session.plan.document() for member in compared}, []
    for name in dict.fromkeys(name for plan in plans.values() for name in plan if name not in OWN):
        codes: dict[str, list[str]] = {}
        for code, plan in plans.items():
            codes.setdefault(str(plan.get(name)), []).append(code)
        if len(codes) > 1:
            said = [f"{value} ({', '.join(who)})" for value, who in codes.items()]
            lines.append(f"{name}: {'; '.join(said)}")
    return lines


def sentences(found: Sequence[Row]) -> list[str]:
    """The differences in words."""
    lines = [
        f"{row['condition']} − {row['than']}: {'; '.join(in_units(row))}; {row['participants']} participants"
        for row in found
    ]
    return lines or ["No participant can be compared: none has two conditions of a validation."]


def in_units(row: Row) -> list[str]:
    """A mean difference with its interval, in each of its units."""
    units = [name.removeprefix("mean (").removesuffix(")") for name in row if name.startswith("mean (")]
    lines = []
    for unit in units:
        mean, low, high = (row[f"{name} ({unit})"] for name in ("mean", "low", "high"))
        of = " of the net rate without torque" if unit == "%" else ""
        lines.append(f"{number(mean)} {unit} [{interval(low, high)}]{of}".replace("-", "−"))
    return lines


def picture(compared: Sequence[Member], found: Sequence[Row]) -> "Figure":
    """The rates of every participant by condition, and the differences with their intervals."""
    names, measured = conditions(compared), compared[0].session.plan.measured
    with figure_of(1, 2, 9.5, 3.6, gridspec_kw={"width_ratios": (1.0, 1.2)}) as (figure, ((left, right),)):
        rates = np.array([[m.means.get(name, (np.nan,))[0] for name in names] for m in compared])
        for each in rates:
            left.plot(range(len(names)), each, ".-", color=GREY, linewidth=0.8)
        for place in range(len(names)):
            mean = float(np.nanmean(rates[:, place]))
            left.plot([place - 0.2, place + 0.2], [mean, mean], color=BLUE, linewidth=2.5)
        left.set_xticks(range(len(names)), names)
        left.set(ylabel=f"{measured.name} ({measured.unit})", xlim=(-0.5, max(len(names), 1) - 0.5))
        left.set_title("Participants (grey) and means", loc="left", fontsize=9)
        for place, row in enumerate(found):
            mean, low, high = (row[f"{name} ({measured.unit})"] for name in ("mean", "low", "high"))
            right.plot([low, high], [place, place], color=BLUE, linewidth=2.5)
            right.plot([mean], [place], "o", color=BLUE)
        right.axvline(0.0, color="0.3", linewidth=0.8)
        right.set_yticks(range(len(found)), [f"{row['condition']}\n− {row['than']}" for row in found])
        right.set(xlabel=f"difference ({measured.unit})", ylim=(max(len(found), 1) - 0.5, -0.5))
        right.set_title("Mean differences, 95 % intervals", loc="left", fontsize=9)
    return figure


def page(members: Sequence[Member]) -> str:
    """`group.html`."""
    compared = [member for member in members if not member.left_out]
    found = differences(compared)
    return render(
        "policysearch.hitl",
        "group",
        count=len(members),
        compared=len(compared),
        sentences=sentences(found),
        picture=drawn(partial(picture, compared, found), "group") if found else "",
        differences=[
            (row["condition"], row["than"], row["participants"], "; ".join(in_units(row))) for row in found
        ],
        left_out=[(m.code, m.folder, m.left_out) for m in members if m.left_out],
        orders=Counter(m.order for m in compared).most_common(),
        participants=[(m.code, m.folder, m.order, _rates(m)) for m in compared],
        out=[(m.code, line) for m in members for line in ([] if m.session.is_blind else m.out)],
        plans=other_plans(compared),
        marks=(),
    )


def _rates(member: Member) -> str:
    return ", ".join(f"{name} {number(rate)}" for name, (rate, _) in member.means.items())
