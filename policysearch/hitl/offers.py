"""What the breaths of a bout offer: an estimate, what is to be known of it, and why it is doubtful."""

from dataclasses import dataclass, replace

import numpy as np

from policysearch.exoskeleton.respirometry import (
    LONG_BOUT,
    MAX_RER,
    MIN_BREATHS,
    Breaths,
    Estimate,
    cost_of_gaps,
    sensitivity,
)
from policysearch.hitl.agenda import AVERAGED
from policysearch.hitl.view import SessionView

SHORT = 0.75  # of a bout: breaths over less of it are doubtful (choice)
LONGER = 30.0  # s that the breaths may last longer than the bout (choice)
TIME_OF_DAY = 1e8  # s, from here times are those of the wall clock, since 1970
SAME = 0.5  # of the breaths: so many in an earlier bout too are refused (choice)

Times = tuple[float, float]  # s by the wall clock: when a bout began and ended; NaN if that is unknown


@dataclass(frozen=True)
class Offer:
    """The estimate from the breaths of a bout."""

    estimate: Estimate
    breaths: Breaths
    said: tuple[str, ...]
    doubt: str  # empty for none


def offer(
    session: SessionView, breaths: Breaths, minutes: float, purpose: str, *, times: Times, instead_of: int = 0
) -> Offer:
    """The offer of the breaths of a bout.

    Args:
        session: that of the bout.
        breaths: all of its file; if they have times of day, those of the bout are taken.
        minutes: of the bout.
        purpose: of the bout.
        times: of the bout.
        instead_of: the number of the bout of which these are other breaths; 0 for none.

    Raises:
        ValueError: for breaths that are not those of one bout, were taken for another bout, or have a gap where
            they are averaged.
    """
    breaths = _of_one_bout(breaths, 60.0 * minutes, times)
    for entry in session.entries:
        if entry.breaths is not None and entry.number != instead_of and _same(breaths, entry.breaths):
            raise ValueError(f"bout {entry.number} has the same breaths; give the file of this bout")
    estimate = session.estimate(breaths, minutes, purpose)
    seconds = float(breaths.time[-1] - breaths.time[0])
    said = [f"{estimate} {session.plan.measured.unit} from {len(breaths.time)} breaths over {seconds:.0f} s"]
    if len(breaths.gaps):
        lasting = ", ".join(f"{gap:.0f} s" for gap in breaths.gaps.tolist())
        cost = 100.0 * cost_of_gaps(breaths, session.plan.tau)
        said.append(f"no breath for {lasting}: the standard error is {cost:.0f} % larger")
    metabolic = session.plan.objective == "metabolic"
    if metabolic and purpose not in AVERAGED and seconds < LONG_BOUT and (found := sensitivity(breaths)).warn:
        rates = ", ".join(f"{r:.2f} at {t:g} s" for r, t in zip(found.rates, found.taus, strict=True))
        said.append(f"it depends on the time constant of breathing: {rates}")
    doubts = [session.doubt(estimate.rate, purpose)]
    covered = seconds - float(breaths.gaps.sum())
    if covered < SHORT * 60.0 * minutes:
        doubts.append(f"{covered:.0f} s is short for a bout of {60 * minutes:g} s")
    if metabolic and breaths.rer > MAX_RER:
        doubts.append(f"RER {breaths.rer:.2f} is above {MAX_RER:g}, where Brockway's equation does not hold")
    return Offer(estimate, breaths, tuple(said), "; ".join(filter(None, doubts)))


def _of_one_bout(breaths: Breaths, seconds: float, times: Times) -> Breaths:
    start, end = times
    if breaths.time[0] > TIME_OF_DAY and np.isfinite(times).all():
        within = (start <= breaths.time) & (breaths.time <= end)
        if (count := int(within.sum())) < MIN_BREATHS:
            raise ValueError(
                f"breaths: expected at least {MIN_BREATHS} between start and end of the bout, got {count}"
            )
        gases = {name: values[within] for name, values in breaths.gases.items()}
        return replace(breaths, time=breaths.time[within], rate=breaths.rate[within], gases=gases)
    lasts = float(breaths.time[-1] - breaths.time[0])
    if lasts > seconds + LONGER:
        expected = f"expected those of one bout of {seconds:g} s, got {lasts:.0f} s"
        raise ValueError(f"breaths: {expected}; cut the file, or give it times of day in s since 1970")
    return breaths


def _same(one: Breaths, other: Breaths) -> bool:
    """Whether most breaths of the shorter one are in the other too, with the same times and rates."""
    pairs, others = ({*zip(each.time.tolist(), each.rate.tolist(), strict=True)} for each in (one, other))
    return len(pairs & others) > SAME * min(len(pairs), len(others))
