"""What the breaths of a bout offer: an estimate, what is to be known of it, and why it is doubtful."""

from dataclasses import dataclass

from policysearch.exoskeleton.breath_file import LONGER
from policysearch.exoskeleton.respirometry import (
    LONG_BOUT,
    MAX_RER,
    Breaths,
    Estimate,
    cost_of_gaps,
    sensitivity,
)
from policysearch.hitl.agenda import AVERAGED
from policysearch.hitl.view import SessionView

SHORT = 0.75  # of a bout: breaths over less of it are doubtful (choice)
SAME = 0.1  # of the breaths: so many in an earlier bout too are refused (choice)


@dataclass(frozen=True)
class Offer:
    """The estimate from the breaths of a bout."""

    estimate: Estimate
    breaths: Breaths
    said: tuple[str, ...]
    doubt: str  # empty for none


def offer(
    session: SessionView, breaths: Breaths, minutes: float, purpose: str, *, instead_of: int = 0
) -> Offer:
    """The offer of the breaths of a bout.

    Args:
        session: that of the bout.
        breaths: of the bout.
        minutes: of the bout.
        purpose: of the bout.
        instead_of: the number of the bout of which these are other breaths; 0 for none.

    Raises:
        ValueError: for breaths that are not those of one bout, were taken for another bout, or have a gap where
            they are averaged.
    """
    _check_length(breaths, 60.0 * minutes)
    for entry in session.entries:
        if entry.breaths is not None and entry.number != instead_of and _same(breaths, entry.breaths):
            raise ValueError(f"bout {entry.number} has some of these breaths; give the file of this bout")
    estimate = session.estimate(breaths, minutes, purpose)
    seconds = float(breaths.time[-1] - breaths.time[0])
    said = [f"{estimate} {session.plan.measured.unit} from {len(breaths.time)} breaths over {seconds:.0f} s"]
    said += breaths.said
    if len(breaths.gaps):
        lasting = ", ".join(f"{gap:.0f} s" for gap in breaths.gaps.tolist())
        cost = 100.0 * cost_of_gaps(breaths, session.plan.tau)
        said.append(f"no breath for {lasting}: the standard error is {cost:.0f} % larger")
    metabolic = session.plan.objective == "metabolic"
    if metabolic and purpose not in AVERAGED and seconds < LONG_BOUT and (found := sensitivity(breaths)).warn:
        rates = ", ".join(f"{r:.2f} at {t:g} s" for r, t in zip(found.rates, found.taus, strict=True))
        said.append(f"it depends on the time constant of breathing: {rates}")
    doubts = [session.doubt(estimate.rate, purpose), breaths.doubt]
    covered = seconds - float(breaths.gaps.sum())
    if covered < SHORT * 60.0 * minutes:
        doubts.append(f"{covered:.0f} s is short for a bout of {60 * minutes:g} s")
    if metabolic and breaths.rer > MAX_RER:
        doubts.append(f"RER {breaths.rer:.2f} is above {MAX_RER:g}, where Brockway's equation does not hold")
    return Offer(estimate, breaths, tuple(said), "; ".join(filter(None, doubts)))


def _check_length(breaths: Breaths, seconds: float) -> None:
    lasts = float(breaths.time[-1] - breaths.time[0])
    if lasts > seconds + LONGER:
        expected = f"expected those of one bout of {seconds:g} s, got {lasts:.0f} s"
        why = "give the time of day at which the recording began (--cart-start), or cut the file"
        raise ValueError(f"breaths: {expected}; {why}")


def _same(one: Breaths, other: Breaths) -> bool:
    """Whether more than a few breaths of the shorter one are in the other too, with the same times and rates."""
    pairs, others = ({*zip(each.time.tolist(), each.rate.tolist(), strict=True)} for each in (one, other))
    return len(pairs & others) > SAME * min(len(pairs), len(others))
