"""The report of a session: `report.html`, one file that needs nothing but itself.

The same log gives the same bytes. Times of day are UTC, as a log knows no time zone. Where the wall clock was set
back, they continue by the monotonic clock.

The standard error of a reduction R = 100 (1 − a/b), of net rates a and b with errors s_a and s_b, is taken to first
order:  s_R = (100/b) √(s_a² + (a/b)² s_b²). It holds the scatter of breaths and nothing else.
"""

import math
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from policysearch.exoskeleton.respirometry import LONG_BOUT, TAU, TAU_SD, TauSensitivity, sensitivity
from policysearch.files import write_text
from policysearch.hitl import evidence, plots
from policysearch.hitl.history import actions, clock_time, moments, versions
from policysearch.hitl.log import Entry
from policysearch.hitl.plan import CONDITIONS, NO_DEVICE, SessionPlan
from policysearch.hitl.plots import result
from policysearch.hitl.view import SessionView, cells, in_words, titles
from policysearch.reporting.page import drawn, render

PICTURES = (
    ("law_over_stride", "The recommended law, the reference law, and the laws that were tried"),
    ("validation", "Validation: mean and bouts of each condition; bars: standard errors from the breaths"),
    ("narrowing", "The laws bout by bout; a band is the mean ± standard deviation of a generation’s laws"),
    ("drift", "The reference law again and again; bars: standard errors from the breaths of the bout alone"),
    ("all_breaths", "Breaths, fitted response (blue), estimate that counts with its standard error (green)"),
)
NOT_DISTINGUISHED = (
    "Optimized and reference law differ by less than two standard errors: they are not distinguished."
)
#: Headings of the columns of a law's numbers, rates and reductions.
HEADINGS = {
    "N·m/kg": "peak torque (N·m/kg)", "N·m": "(N·m)", "peak": "peak time (% stride)",
    "rise": "rise (%)", "fall": "fall (%)", "W/kg": "rate (W/kg)", "reduction": "less than baseline",
}  # fmt: skip
UNBLIND = ("validation", "drift")  # pictures that tell the conditions of the validation


class ComparedReduction(NamedTuple):
    """By how much a condition takes less net energy than another one, in %."""

    reduction: float
    standard_error: float  # NaN if a bout has none


def write(session: SessionView, out: Path) -> Path:
    """Write `report.html` and what else a session leaves (`evidence`) into a folder; returns the page's path.

    Raises:
        OSError: if a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    evidence.write(session, out)
    write_text(out / "report.html", page(session))
    return out / "report.html"


def page(session: SessionView) -> str:
    """`report.html`."""
    times = [clock_time(at, "%Y-%m-%d %H:%M") for at in moments(session.events)]
    bout = session.next
    tested, found = sensitivities(session), findings(session)
    return render(
        "policysearch.hitl",
        participant=session.participant,
        when=f"{times[0]} to {times[-1]} UTC",
        state="It is over." if bout is None else f"It is not over; next: {bout.label}.",
        plan=plan_words(session),
        recommendation=law_words(session),
        short=[found[0], *(line for line in found[1:] if line == NOT_DISTINGUISHED)],
        findings=found,
        marks=[f"b{entry.number}" for entry in session.entries],
        pictures=[
            (name, drawn(partial(getattr(plots, name), session), name), caption)
            for name, caption in PICTURES
            if not (session.is_blind and name in UNBLIND)
            and (session.plan.laws.is_ankle or name != "law_over_stride")
            and (session.plan.objective == "metabolic" or name != "all_breaths")
        ],
        headings=headings(session.plan),
        bouts=cells(session).to_numpy().tolist(),
        fitted=len(tested),
        sensitive=[
            f"bout {entry.number}: {', '.join(f'{rate:.2f}' for rate in found.rates.tolist())} W/kg"
            for entry, found in tested
            if found.warn
        ],
        taus=(TAU - TAU_SD, TAU, TAU + TAU_SD),
        actions=actions(session),
        versions=versions(session),
        document=session.plan.document(),
    )


def headings(plan: SessionPlan) -> list[str]:
    """The headings of the table of bouts."""
    words = dict(HEADINGS)
    if not plan.laws.is_ankle:
        words = {p.name: f"{p.name} ({p.unit})" for p in plan.laws.space.parameters} | {
            "reduction": "reduction"
        }
    if plan.objective != "metabolic":
        words |= {"reduction": "better than baseline"}
    return [words.get(title, title) for title in titles(plan)]


def plan_words(session: SessionView) -> list[str]:
    """The plan and the progress, in sentences."""
    plan, mass = session.plan, session.plan.mass
    count = len({entry.generation for entry in session.counted("search")})
    torques = f"{session.upper_torque:g} N·m/kg ({session.upper_torque * mass:.0f} N·m)"
    if session.upper_torque < plan.upper_torque:
        torques += f", lowered from {plan.upper_torque:g} N·m/kg"
    walked = sum(e.minutes for e in session.entries if e.status != "skipped" and e.purpose != "rest")
    words = ("warm-up", "baseline without torque", "rest after a generation", "validation, six bouts of")
    minutes = (plan.warm_up, plan.baseline, plan.rest, plan.validation)
    around = [f"{what} {each:g} min" for what, each in zip(words, minutes, strict=True) if each]
    if plan.retest:
        every = "generation" if plan.retest == 1 else f"{plan.retest} generations"
        around.append(f"the reference law again after every {every}")
    files = [f"{what}, SHA-256 {digest}" for what, digest in plan.sources.items()]
    return [
        *([f"Made from {'; '.join(files)}."] if files else []),
        f"Search: {plan.optimizer}, {plan.bouts} bouts of {plan.minutes:g} min "
        f"({plan.bouts * plan.minutes:g} min), seed {plan.seed}; generations walked so far: {count}.",
        f"Around it: {'; '.join(around) or 'nothing'}.",
        f"Mass {mass:g} kg, {session.standing:g} W/kg standing still; upper torque {torques}. "
        f"{walked:g} min were walked in all, what does not count included.",
    ]


def law_words(session: SessionView) -> str:
    """The recommended law with its units."""
    laws = session.plan.laws
    words = _ankle_words(session) if laws.is_ankle else f"{laws.in_short(session.recommendation)}."
    if session.is_optimized:
        return words
    if session.counted("search"):
        return (
            f"{words} Nothing is optimized: no generation is complete, and this is where the search starts."
        )
    return f"{words} No law was measured yet: this is where the search starts."


def _ankle_words(session: SessionView) -> str:
    (peak_torque, peak, rise, fall), mass = session.recommendation.tolist(), session.plan.mass
    words = f"{peak_torque:.3f} N·m/kg, which is {peak_torque * mass:.1f} N·m for {mass:g} kg, at {peak:.1f} % stride"
    return (
        f"{words}; rise {rise:.1f} %, fall {fall:.1f} % (onset {peak - rise:.1f} %, end {peak + fall:.1f} %)."
    )


def compared(session: SessionView, condition: str, to: str) -> ComparedReduction | None:
    """A validated condition against another one; None before both are measured."""
    rates = session.validation().set_index("condition")["rate"].to_dict()
    if condition not in rates or to not in rates:
        return None
    s_a, s_b = (_error(session.counted(name)) for name in (condition, to))
    if session.plan.objective != "metabolic":
        by = session.plan.measured.sign * (rates[condition] - rates[to])
        return ComparedReduction(by, math.hypot(s_a, s_b))
    a, b = (rates[name] - session.standing for name in (condition, to))
    return ComparedReduction(100.0 * (1.0 - a / b), 100.0 / abs(b) * math.hypot(s_a, a / b * s_b))


def _error(bouts: list[Entry]) -> float:
    """The standard error of the mean rate of bouts; NaN if one of them has none."""
    return math.sqrt(sum(bout.standard_error**2 for bout in bouts)) / len(bouts)


def findings(session: SessionView) -> list[str]:
    """What was measured, and how reliable it is, in sentences."""
    if session.is_blind:
        return ["The conditions of the validation are letters until they are opened: unblind REASON."]
    pairs = [("optimized", "zero torque"), ("reference", "zero torque"), ("optimized", "reference")]
    pairs += [(name, "zero torque") for name in session.plan.validated if name not in CONDITIONS]
    found = {pair: by for pair in pairs if (by := compared(session, *pair)) is not None}
    took = "took" if session.plan.objective == "metabolic" else "was"
    lines = [
        f"Validation: {f'the {a} law' if a != NO_DEVICE else a} {took} "
        f"{_less(session, by, b if b == 'zero torque' else f'the {b} law')}."
        for (a, b), by in found.items()
    ]
    if lines:
        lines.append(_caveat(session))
    else:
        lines = ["There is no validation yet, so the effect of this law is not known."]
    against = found.get(("optimized", "reference"))
    if against is not None and abs(against.reduction) < 2.0 * against.standard_error:
        lines.append(NOT_DISTINGUISHED)
    return lines + _claimed(session, found.get(("optimized", "zero torque")))


def _caveat(session: SessionView) -> str:
    rates = [np.array([bout.rate for bout in session.counted(name)]) for name in session.plan.validated]
    net = [each - session.standing for each in rates if len(each) > 1]
    words = (
        "At most two bouts per condition of one person on one day: a noisy measurement. The standard errors "
    )
    words += "contain the scatter of the breaths within the bouts and nothing else"
    difference = 100.0 * max((float(np.ptp(each) / each.mean()) for each in net), default=math.nan)
    return words + (f"; bouts under the same law differed by up to {difference:.1f} %." if net else ".")


def _claimed(session: SessionView, measured: ComparedReduction | None) -> list[str]:
    """The best single value of the search, next to what the validation measured."""
    entries = session.counted("search")
    if not entries:
        return []
    sign, unit = session.plan.measured.sign, session.plan.measured.unit
    best = min(entries, key=lambda entry: -sign * entry.rate)
    value = f"{best.rate:.2f} {unit}"
    if session.plan.baseline:
        value = _less(session, ComparedReduction(result(session, best.rate), math.nan), "the baseline")
    words = (
        f"The best single estimate of the search was {value} (bout {best.number}): the best of {len(entries)}"
    )
    words += " noisy numbers, which is not a claim."
    if measured is not None:
        words += f" The recommended law, validated: {_less(session, measured, 'zero torque')}."
    return [words]


def _less(session: SessionView, by: ComparedReduction, than: str) -> str:
    error = f" (standard error {by.standard_error:.1f})" if math.isfinite(by.standard_error) else ""
    if session.plan.objective != "metabolic":
        return f"{in_words(by.reduction, session.plan.measured.unit)} than {than}{error}"
    return f"{in_words(by.reduction)} net energy than {than}{error}"


def sensitivities(session: SessionView) -> list[tuple[Entry, TauSensitivity]]:
    """The sensitivity of every bout with a fitted response to the time constant of breathing."""
    return [
        (entry, sensitivity(entry.breaths))
        for entry in session.entries
        if entry.breaths is not None
        and session.plan.objective == "metabolic"
        and entry.status == "measured"
        and entry.purpose in ("search", "re-test")
        and entry.breaths.time[-1] - entry.breaths.time[0] < LONG_BOUT
    ]
