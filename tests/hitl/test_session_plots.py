"""The pictures of a session: what is drawn is what the session knows, and there is always something to look at."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from policysearch.exoskeleton.respirometry import Breaths, fit, running
from policysearch.exoskeleton.torque_profile import torque
from policysearch.hitl import plots
from policysearch.hitl.people import SimulatedPerson, walk_next
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.reporting import page

PICTURES = (plots.law_over_stride, plots.all_breaths, plots.narrowing, plots.validation, plots.drift)
STRIDE = np.linspace(0.0, 70.0, 281)
RATES = (3.9, 4.0, 3.7, 4.1, 3.8, 4.05, 3.6, 3.95)


def typed(plan: SessionPlan, bouts: int | None = None, error: float = np.nan) -> Session:
    """A session with typed rates, after this many bouts."""
    return through(Session.begin(plan, clock=itertools.count(1.7e9).__next__), bouts, error)


def through(session: Session, bouts: int | None = None, error: float = np.nan) -> Session:
    while session.next is not None and len(session.entries) != bouts:
        if session.entering:
            session.confirm()
        if session.next.is_measured:
            session.measured(RATES[len(session.entries) % len(RATES)], error)
        else:
            session.walked()
    return session


@pytest.fixture(scope="module")
def messy() -> Session:
    """Two generations, a re-test, rests, and one of everything that an operator does."""
    plan = SessionPlan(seed=3, bouts=16, retest=1, rest=2.0, warm_up=3.0, baseline=3.0, validation=3.0)
    session, person = Session.begin(plan), SimulatedPerson("zhang2017", (3, "person"))
    for turn in itertools.count(1):
        if session.next is None:
            return session
        if session.entering:
            session.confirm()
        if turn == 6:
            session.void("the belt slipped", 1.0)
        elif turn == 9:
            session.skip("too uncomfortable")
        elif turn == 12:
            session.undo("typed wrongly")
        elif turn == 18:
            session.amend(4, 3.1, "the mask leaked")
            session.limit(0.7, "a sore ankle")
        else:
            walk_next(session, person)
    raise AssertionError


def drawn(axis: Any, label: str) -> Any:
    """The line with this name."""
    return next(line for line in axis.get_lines() if line.get_label().startswith(label))


def words(figure: Figure) -> list[Text]:
    """What can be read in a picture; ticks outside the frame have labels that are not drawn."""
    hidden: set[Text] = set()
    for axes in (axis for each in figure.axes for axis in (each, *each.child_axes)):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if not (axes.axison and low - 1e-9 <= tick.get_loc() <= high + 1e-9):
                    hidden |= {tick.label1, tick.label2}
            if not axes.axison:
                hidden.add(axis.label)
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    return [text for text in texts if text not in hidden]


def test_the_laws_drawn_are_the_recommended_one_the_reference_and_those_tried(messy: Session) -> None:
    (axis,) = plots.law_over_stride(messy).axes
    np.testing.assert_allclose(
        drawn(axis, "recommended").get_ydata(), torque(messy.recommendation, STRIDE), atol=1e-12
    )
    reference = np.array(messy.plan.reference)
    np.testing.assert_allclose(drawn(axis, "reference").get_ydata(), torque(reference, STRIDE), atol=1e-12)
    tried = [line for line in axis.get_lines() if line.get_linewidth() == 0.7]
    counted = [e for e in messy.entries if e.purpose == "search" and e.status in ("measured", "amended")]
    for line, entry in zip(tried, counted, strict=True):
        np.testing.assert_allclose(line.get_ydata(), torque(entry.law, STRIDE), atol=1e-12)
    shades = {entry.generation: line.get_color() for line, entry in zip(tried, counted, strict=True)}
    assert float(shades[0]) > float(shades[1]), "later generations are darker"


def test_onset_peak_and_end_are_marked_where_they_are(messy: Session) -> None:
    (axis,) = plots.law_over_stride(messy).axes
    marks = {line.get_gid(): line.get_xydata()[0].tolist() for line in axis.get_lines() if line.get_gid()}
    peak_torque, peak, rise, fall = messy.recommendation.tolist()
    assert marks == {"onset": [peak - rise, 0.0], "peak": [peak, peak_torque], "end": [peak + fall, 0.0]}
    assert marks["end"][0] <= 65.0


def test_the_right_axis_is_the_torque_for_this_persons_mass() -> None:
    figure = plots.law_over_stride(Session.begin(SessionPlan(mass=81.0)))
    figure.draw_without_rendering()
    (axis,) = figure.axes
    (right,) = axis.child_axes
    np.testing.assert_allclose(right.get_ylim(), 81.0 * np.array(axis.get_ylim()))
    assert right.get_ylabel() == "torque for 81 kg (N·m)"


def test_a_bout_shows_its_breaths_the_response_and_both_estimates(messy: Session) -> None:
    entry = next(e for e in messy.entries if e.purpose == "search" and e.status == "measured")
    assert entry.breaths is not None
    time, rate = entry.breaths.time, entry.breaths.rate
    shifted = replace(entry, breaths=Breaths(time + 500.0, rate))
    (axis,) = plots.breaths_with_fit(shifted, 42.0).axes
    np.testing.assert_allclose(
        drawn(axis, "breaths").get_xydata(), np.transpose([(time - time[0]) / 60, rate])
    )
    np.testing.assert_allclose(drawn(axis, "first-order").get_ydata(), fit(entry.breaths, 42.0).fitted)
    np.testing.assert_allclose(drawn(axis, "estimate so far").get_ydata(), running(entry.breaths, 42.0)[0])
    assert drawn(axis, "measured").get_ydata() == [entry.rate, entry.rate]
    (band,) = axis.patches
    low, high = band.get_y(), band.get_y() + band.get_height()
    np.testing.assert_allclose(
        (low, high), (entry.rate - entry.standard_error, entry.rate + entry.standard_error)
    )
    assert axis.get_ylim()[0] < rate.min()
    assert rate.max() < axis.get_ylim()[1]


def test_an_amended_rate_has_no_band(messy: Session) -> None:
    entry = messy.entries[3]
    (axis,) = plots.breaths_with_fit(entry, 42.0).axes
    assert entry.status == "amended"
    assert drawn(axis, "amended: 3.10 W/kg").get_ydata() == [3.1, 3.1]
    assert not axis.patches


def test_a_rate_that_was_typed_in_has_no_breaths_to_show() -> None:
    figure = plots.breaths_with_fit(typed(SessionPlan(bouts=8, validation=0.0)).entries[0], 42.0)
    assert "no breaths" in [text.get_text() for text in words(figure)]


def test_every_bout_with_breaths_and_a_result_has_a_panel(messy: Session) -> None:
    titles = [axis.get_title(loc="left") for axis in plots.all_breaths(messy).axes]
    measured = [e for e in messy.entries if e.breaths is not None and e.status not in ("void", "undone")]
    assert [int(title.split()[0]) for title in titles] == [entry.number for entry in measured]
    assert "4 generation 1, amended" in titles
    assert sum(title.endswith(("zero torque", "reference", "optimized")) for title in titles) == 6


def test_candidates_are_drawn_where_they_are_in_the_colour_of_their_result(messy: Session) -> None:
    axes = plots.narrowing(messy).axes
    table = messy.table()
    counted = table[(table["purpose"] == "search") & table["status"].isin(["measured", "amended"])]
    lower, upper = messy.plan.space.bounds
    for p, (axis, name) in enumerate(zip(axes[:4], messy.plan.space.names, strict=True)):
        dots = next(each for each in axis.collections if len(each.get_offsets()) > 1)
        np.testing.assert_allclose(dots.get_offsets(), counted[["number", name]])
        np.testing.assert_allclose(dots.get_array(), counted["reduction"])
        assert drawn(axis, "recommended").get_ydata() == [messy.recommendation[p]]
        bounds = [line.get_ydata()[0] for line in axis.get_lines() if line.get_color() == "0.3"]
        assert bounds == [lower[p], upper[p]]
        for status in ("void", "skipped", "undone", "set aside"):
            others = table[(table["purpose"] == "search") & (table["status"] == status)]
            assert len(others), status
            marks = [line.get_xydata()[0] for line in axis.get_lines() if line.get_label() == status]
            np.testing.assert_allclose(marks, others[["number", name]])
    assert drawn(axes[0], "lowered limit").get_ydata() == [0.7, 0.7]


def test_without_a_baseline_colours_are_rates() -> None:
    session = typed(SessionPlan(baseline=0.0, bouts=8), 3)
    figure = plots.narrowing(session)
    dots = next(each for each in figure.axes[0].collections if len(each.get_offsets()) > 1)
    assert dots.get_array().tolist() == list(RATES[:3])
    assert "metabolic rate (W/kg)" in [text.get_text() for text in words(figure)]


def test_a_band_is_the_mean_and_standard_deviation_of_the_laws_of_a_generation(messy: Session) -> None:
    # three laws that count, 0.2, 0.4 and 0.9: mean 0.5, sd √((0.09 + 0.01 + 0.16)/2) = √0.13
    search = [entry for entry in messy.entries if entry.purpose == "search"]
    laws = {0: 0.2, 1: 0.4, 2: 0.9, 3: 0.0, 4: 0.0}
    of = dict(zip(laws, ("measured", "skipped", "amended", "void", "set aside"), strict=True))
    made = [
        replace(
            search[0], candidate=i, generation=2, status=of[i], law=np.array([peak_torque, 50.0, 20.0, 10.0])
        )
        for i, peak_torque in laws.items()
    ]
    mean, sd = plots.spread([*made, made[0]], 2)  # a law walked twice is one law
    np.testing.assert_allclose(mean, [0.5, 50.0, 20.0, 10.0])
    np.testing.assert_allclose(sd, [np.sqrt(0.13), 0.0, 0.0, 0.0])
    assert np.isnan(plots.spread(made[:1], 2)).all(), "one law has no spread"
    axis = plots.narrowing(messy).axes[1]
    bands = [each.get_paths()[0].get_extents() for each in axis.collections if len(each.get_offsets()) == 1]
    for generation, band in enumerate(bands):
        mean, sd = plots.spread(search, generation)[:, 1]
        np.testing.assert_allclose((band.y0, band.y1), (mean - sd, mean + sd))
    assert len(bands) == 2


def test_validation_shows_every_bout_and_the_mean_of_its_condition(messy: Session) -> None:
    (axis,) = plots.validation(messy).axes
    table = messy.validation()
    np.testing.assert_allclose([bar.get_height() for bar in axis.patches], table["reduction"], atol=1e-12)
    standing = messy.plan.standing_rate
    zero = table["rate"][0] - standing
    bouts = [each.lines[0].get_ydata()[0] for each in axis.containers if isinstance(each, ErrorbarContainer)]
    of = [[e.rate for e in messy.entries if e.condition == condition] for condition in table["condition"]]
    np.testing.assert_allclose(bouts, 100.0 * (1.0 - (np.concatenate(of) - standing) / zero))
    labels = [text.get_text() for text in axis.get_xticklabels()]
    expected = [
        f"{name}\n{value:.1f} %" for name, value in zip(table["condition"], table["reduction"], strict=True)
    ]
    assert labels == expected


def test_drift_shows_the_reference_law_at_the_minute_when_it_was_walked() -> None:
    plan = SessionPlan(bouts=16, warm_up=3.0, baseline=6.0, retest=1, rest=1.5, validation=0.0)
    session = typed(plan, 5, error=0.04)
    session.skip("too uncomfortable")  # takes no time
    through(session, 7, 0.04).confirm()
    session.void("the belt slipped", 0.5)  # takes some
    through(session, error=0.04)
    (axis,) = plots.drift(session).axes
    retests = [container.lines for container in axis.containers]
    first = 3 + 6 + 7 * 2 + 0.5 + 1.5 + 2
    rates = [entry.rate for entry in session.entries if entry.purpose == "re-test"]
    np.testing.assert_allclose(
        [line.get_xdata()[0] for line, *_ in retests], [first, first + 8 * 2 + 1.5 + 2]
    )
    heights = [float(line.get_ydata()[0]) for line, *_ in retests]
    np.testing.assert_allclose(heights, [session.reduction(rate) for rate in rates])
    net = session.entries[1].rate - plan.standing_rate
    low, high = (float(cap.get_ydata()[0]) for cap in retests[0][1])
    assert high - low == pytest.approx(2 * 100 * 0.04 / net)


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: Session.begin(SessionPlan()),
        pytest.param(lambda: typed(SessionPlan(), 1), marks=pytest.mark.nightly),
        pytest.param(lambda: typed(SessionPlan(baseline=0.0, bouts=8), 3), marks=pytest.mark.nightly),
        lambda: typed(
            SessionPlan(bouts=8, retest=1, mass=100.0, upper_torque=0.5, reference=(0.4, 50.0, 20.0, 10.0))
        ),
        pytest.param(
            lambda: typed(SessionPlan(optimizer="nelder-mead", bouts=7, start=(0.5, 55.0, 40.0, 10.0))),
            marks=pytest.mark.nightly,
        ),
    ],
    ids=["fresh", "baseline only", "no baseline", "typed in", "one law a generation"],
)
def test_whatever_there_is_can_be_drawn_and_no_words_cover_others(
    picture: Callable[[Session], Figure], make: Callable[[], Session]
) -> None:
    uncovered(picture(make()))


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.nightly
def test_no_words_cover_others_when_there_is_much(
    messy: Session, picture: Callable[[Session], Figure]
) -> None:
    uncovered(picture(messy))


def uncovered(figure: Figure) -> None:
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in words(figure)]
    assert boxes, "there is something to read"
    whole = figure.bbox.padded(1.0)
    for (a, box), (b, other) in itertools.combinations(boxes, 2):
        shrunk = box.padded(-1.0)
        assert not (shrunk.overlaps(other.padded(-1.0)) and shrunk.width > 0), f"{a!r} covers {b!r}"
    for text, box in boxes:
        inside = whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
        assert inside, f"{text!r} leaves the picture"


def test_a_picture_is_the_same_twice_and_holds_no_picture_in_the_picture(messy: Session) -> None:
    first, second = (page.drawn(lambda: plots.narrowing(messy), "narrowing") for _ in range(2))
    assert first == second
    assert first.startswith("<svg")
    assert "<image" not in first, "the page's policy would block it"
