"""The simulated walker against its equations, against ODE and optimization solvers, and against published effects."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize
from scipy.stats import kstest, truncnorm

from policysearch.core import Array
from policysearch.exoskeleton.human import (
    CORRELATION,
    PRESETS,
    WIDTHS,
    Participant,
    State,
    Walker,
    adapted_after,
    draw_participant,
    fidelity,
)
from policysearch.exoskeleton.respirometry import Breaths, estimate
from policysearch.exoskeleton.torque_law import GENERIC, HIGHEST, LATEST_END, LOWEST
from policysearch.seeding import stream

EXPERT, NOVICE = (1.0, 1.0), (0.0, 0.0)
#: Nothing is random but the times of the breaths, all of which are measured.
QUIET: dict[str, Any] = {"drift_sd": 0.0, "breath_sd": 0.0, "missed": 0.0, "outliers": 0.0}


def walker(state: State | None = None, **changes: Any) -> Walker:
    """The average participant, an expert who has walked without torque until steady, unless changed."""
    person = Participant(**{"a": 1.0, "aT": 1.0, **changes})
    return Walker(person, state or State(0.0, 1.0, person.a, person.aT, 0.0))


def people(preset: str, count: int) -> list[Walker]:
    rng = stream("people", preset)
    return [Walker.start(draw_participant(rng, preset), rng) for _ in range(count)]


def net(person: Participant, breaths: Breaths) -> Array:
    return (breaths.rate - person.standing_rate) / person.net_rate


def test_no_torque_is_no_help_the_best_torque_all_and_more_is_less_than_none_in_the_end() -> None:
    one = walker()
    timing = (one.person.peak, one.person.rise, one.person.fall)
    help_of = [one.true_reduction((torque, *timing)) for torque in (0.0, 0.375, 0.75, 1.0, 1.25)]
    # s = 1 − (T/.75 − 1)² = 0, 3/4, 1 and 1 − ((T − .75)/.5)² = 3/4, 0
    assert help_of == pytest.approx([0.0, 0.397 * 0.75, 0.397, 0.397 * 0.75, 0.0], abs=1e-12)
    assert one.true_reduction((1.5, *timing)) < 0.0


def test_the_landscape_is_the_equation() -> None:
    assert (np.linalg.eigvalsh(CORRELATION) > 0.5).all()
    rng = stream("landscape")
    for one in people("novice", 20):
        person, law, a, aT = one.person, rng.uniform(LOWEST, HIGHEST), *rng.random(2)
        delta = (law[1:] - [person.peak - 2.0 * (1.0 - a), person.rise, person.fall]) / WIDTHS
        best = person.torque - 0.3 * (1.0 - aT)
        s = 1.0 - ((law[0] - best) / (best if law[0] <= best else 0.5)) ** 2
        amplitude = (1.0 - a) * 0.12 + a * person.amplitude
        expected = amplitude * s * np.exp(-0.5 * delta @ np.linalg.solve(CORRELATION, delta))
        assert one.true_reduction(law, (a, aT)) == pytest.approx(expected, rel=1e-12)


def test_the_best_law_is_the_best_feasible_one() -> None:
    constraints = [
        {"type": "ineq", "fun": lambda x: LATEST_END - x[1] - x[3]},
        {"type": "ineq", "fun": lambda x: x[1] - x[2]},
    ]
    unlike = walker(peak=30.0, rise=60.0, fall=2.0)  # far outside: the rise meets its own constraint
    for one in [*people("half-trained", 12), unlike]:
        best = one.best_law()
        assert (best >= LOWEST).all()
        assert (best <= HIGHEST).all()
        assert best[1] + best[3] <= LATEST_END
        assert best[1] >= best[2]
        found = minimize(
            lambda x, one=one: -np.log(one.true_reduction(x)),
            GENERIC, bounds=list(zip(LOWEST, HIGHEST, strict=True)), constraints=constraints,
            method="SLSQP", options={"ftol": 1e-13, "maxiter": 500},
        )  # fmt: skip
        assert one.true_reduction(best) == pytest.approx(np.exp(-found.fun), rel=1e-6)
    inside = walker(peak=50.0)
    assert inside.best_law() == pytest.approx([0.75, 50.0, 26.2, 11.0], rel=1e-9)
    assert inside.true_reduction(inside.best_law()) == pytest.approx(0.397)
    assert inside.best_law(NOVICE) == pytest.approx([0.45, 48.0, 26.2, 11.0], rel=1e-9)


def test_the_generic_law_helps_experts_by_30_and_novices_by_10_percent_and_the_best_one_by_38() -> None:
    crowd = people("expert", 2000)
    free = [
        (one.person.torque, min(one.person.peak, 55.0), one.person.rise, one.person.fall) for one in crowd
    ]
    for expected, values in {
        0.303: [one.true_reduction(GENERIC) for one in crowd],
        0.0993: [one.true_reduction(GENERIC, NOVICE) for one in crowd],
        0.380: [one.true_reduction(one.best_law()) for one in crowd],
        0.390: [one.true_reduction(law) for one, law in zip(crowd, free, strict=True)],  # ends after 65 % too
    }.items():
        se = np.std(values) / np.sqrt(len(values))
        assert se < 0.007 * expected
        assert abs(np.mean(values) - expected) < 4 * se + 0.0005


def test_after_64_minutes_the_best_laws_of_zhang2017_help_by_27_percent_with_a_spread_of_7() -> None:
    crowd, trained = people("zhang2017", 2000), adapted_after(64.0)
    assert trained == pytest.approx((0.831, 0.589), abs=5e-4)
    values = np.array([one.true_reduction(one.best_law(trained), trained) for one in crowd])
    se = values.std() / np.sqrt(values.size)
    assert se < 0.0017
    assert {one.person.novice_amplitude for one in crowd} == {0.8 * 0.12}  # novices are helped less, too
    assert abs(values.mean() - 0.27) < 4 * se + 0.0005
    assert abs(values.std() - 0.07) < 4 * values.std() / np.sqrt(2 * values.size) + 0.0005


def test_the_same_draws_make_the_same_person_at_another_stage_of_training() -> None:
    stages = [draw_participant(stream("one"), preset) for preset in ("novice", "half-trained", "expert")]
    assert [stage.a for stage in stages] == [0.0, 0.5, 1.0]
    assert [stage.aT for stage in stages] == pytest.approx([0.0, 1.0 - 0.5**0.5, 1.0])
    assert len({stage._replace(a=0.0, aT=0.0) for stage in stages}) == 1
    minutes = 36.0 * np.log(2.0)
    assert adapted_after(minutes) == pytest.approx((stages[1].a, stages[1].aT))
    with pytest.raises(
        ValueError, match="need a preset of novice, half-trained, expert, zhang2017, got 'old'"
    ):
        draw_participant(stream("one"), "old")


def test_people_differ_as_stated() -> None:
    crowd = np.array([one.person for one in people("novice", 4000)])
    named = dict(zip(Participant._fields, crowd.T, strict=True))
    for name, mean, sd in (
        ("torque", 0.75, 0.08), ("peak", 55.0, 2.0), ("rise", 26.2, 4.0), ("fall", 11.0, 2.0),
        ("net_rate", 2.9, 0.3), ("amplitude", 0.397, 0.397 * np.sqrt(np.expm1(0.04))),
    ):  # fmt: skip
        assert abs(named[name].mean() - mean) < 4 * sd / np.sqrt(4000)
        assert named[name].std() == pytest.approx(sd, rel=0.06)  # its standard error is 1.1 to 1.3 %
    assert named["torque"].min() >= 0.5
    assert named["torque"].max() <= 1.0
    tau = named["tau"]
    assert 20.0 <= tau.min() < tau.max() <= 80.0
    assert kstest(tau, truncnorm(-22.0 / 12.0, 38.0 / 12.0, 42.0, 12.0).cdf).pvalue > 1e-4


def test_adaptation_reaches_95_percent_in_108_minutes_of_assisted_walking_only() -> None:
    rng, novice = stream("walk"), walker(a=0.0, aT=0.0, **QUIET)
    for _ in range(9):
        novice.walk((0.0, *GENERIC[1:]), 120.0, rng)
    assert (novice.state.a, novice.state.aT) == NOVICE
    frozen = novice.copy(learns=False)
    for _ in range(54):
        novice.walk(GENERIC, 120.0, rng)
        frozen.walk(GENERIC, 120.0, rng)
    assert (frozen.state.a, frozen.state.aT) == NOVICE
    # 1 − e^{−108/36} = .9502, 1 − e^{−108/72} = .7769
    assert (novice.state.a, novice.state.aT) == pytest.approx((0.9502, 0.7769), abs=1e-4)
    assert (novice.state.a, novice.state.aT) == pytest.approx(adapted_after(108.0), rel=1e-9)
    assert novice.state.minutes == pytest.approx(18.0 + 108.0)


def test_the_rate_at_the_mouth_solves_the_differential_equation_at_every_breath() -> None:
    rng, one = stream("ode"), walker(tau=55.0, **QUIET)
    cost = 1.0 - one.true_reduction(GENERIC)
    breaths = one.walk(GENERIC, 300.0, rng)
    exact = solve_ivp(
        lambda _t, y: (cost - y) / 55.0,
        (0.0, 300.0),
        [1.0],
        t_eval=[*breaths.time, 300.0],
        rtol=1e-10,
        atol=1e-12,
    ).y[0]
    assert net(one.person, breaths) == pytest.approx(exact[:-1], rel=1e-8)
    assert one.state.y == pytest.approx(exact[-1], rel=1e-8)


def test_steps_from_breath_to_breath_are_fine_enough_for_adaptation() -> None:
    one = walker(a=0.0, aT=0.0, tau=30.0, fatigue=0.005, **QUIET)
    breaths = one.copy().walk(GENERIC, 1200.0, stream("fine"))

    def slope(t: float, y: Array) -> Array:
        adapted = adapted_after(t / 60.0)
        return np.asarray((1.0 - one.true_reduction(GENERIC, adapted) + 0.005 * t / 3600.0 - y) / 30.0)

    exact = solve_ivp(slope, (0.0, 1200.0), [1.0], t_eval=breaths.time, rtol=1e-9, atol=1e-11).y[0]
    assert np.abs(net(one.person, breaths) - exact).max() < 3e-4  # of a change of .15


def test_half_a_percent_per_hour_is_the_fatigue() -> None:
    rested, tired = (
        walker(State(minutes, 1.0, 1.0, 1.0, 0.0), fatigue=0.005, **QUIET) for minutes in (0.0, 120.0)
    )
    difference = (
        tired.walk(GENERIC, 360.0, stream("hours")).rate - rested.walk(GENERIC, 360.0, stream("hours")).rate
    )
    # two hours, of which the mouth shows all but e^{−t/τ}
    assert difference[-1] / 2.9 == pytest.approx(0.01, rel=1e-3)


def test_a_bout_begins_where_the_previous_one_ended() -> None:
    rng, one = stream("order"), walker(State(0.0, 0.0, 1.0, 1.0, 0.0), **QUIET)
    levels = []
    for law in (GENERIC, (0.0, 50.0, 20.0, 10.0), GENERIC):
        before, cost = one.state.y, 1.0 - one.true_reduction(law)
        breaths = one.walk(law, 60.0, rng)
        assert net(one.person, breaths) == pytest.approx(
            cost + (before - cost) * np.exp(-breaths.time / 42.0)
        )
        assert one.state.y == pytest.approx(cost + (before - cost) * np.exp(-60.0 / 42.0))
        levels.append(before)
    assert levels[0] == 0.0 < levels[2] < 1.0  # stands at first
    drifting = walker(State(0.0, 1.0, 1.0, 1.0, 0.05), **QUIET)
    drifting.walk(GENERIC, 120.0, rng)
    assert drifting.state.drift == pytest.approx(0.05 * np.exp(-120.0 / 1200.0))
    drifted = drifting.walk(GENERIC, 1e5, rng)
    assert net(drifting.person, drifted)[-1] == pytest.approx(1.0 - drifting.true_reduction(GENERIC))


def test_who_rests_breathes_as_when_standing_in_the_end_and_neither_walks_nor_learns() -> None:
    one = walker(State(30.0, 0.8, 0.4, 0.2, 0.05), tau=55.0, **QUIET)
    one.rest(90.0, stream("rest"))
    assert one.state == pytest.approx(
        (30.0, 0.8 * np.exp(-90.0 / 55.0), 0.4, 0.2, 0.05 * np.exp(-90.0 / 1200.0))
    )
    twice = walker(State(30.0, 0.8, 0.4, 0.2, 0.05), tau=55.0, **QUIET)
    for seconds in (20.0, 0.0, 70.0):
        twice.rest(seconds, stream("rest"))
    assert twice.state == pytest.approx(one.state, rel=1e-12)
    one.rest(3600.0, stream("rest"))
    assert (
        one.walk(GENERIC, 60.0, stream("after")).rate[0] < 1.4 + 0.2 * 2.9
    )  # W/kg, standing and little more


def test_who_rests_drifts_on() -> None:
    one = walker(State(0.0, 0.8, 1.0, 1.0, 0.05), drift_sd=0.02)
    one.rest(600.0, stream("rest"))
    kept = np.exp(-0.5)  # 10 of 20 min
    expected = kept * 0.05 + 0.02 * np.sqrt(1.0 - kept**2) * stream("rest").standard_normal()
    assert one.state.drift == pytest.approx(expected, rel=1e-12)
    rng, count = stream("rests"), 4000
    for seconds in (60.0, 1e6):
        drifts = []
        for _ in range(count):
            another = Walker.start(Participant(), rng)
            another.rest(seconds, rng)
            drifts.append(another.state.drift)
        assert np.std(drifts) == pytest.approx(0.01, rel=4 / np.sqrt(2 * count))


def test_a_rest_that_is_none_is_refused() -> None:
    one = walker()
    for seconds in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="need a rest of finite seconds >= 0, got"):
            one.rest(seconds, stream("bad"))
    assert one.state == walker().state


def test_a_curve_that_differs_from_a_law_helps_by_a_part_of_what_the_law_does() -> None:
    assert [fidelity(rho) for rho in (0.0, 0.2, 0.4)] == pytest.approx([1.0, np.exp(-0.5), np.exp(-2.0)])
    one = walker(**QUIET)
    whole = one.true_reduction(GENERIC)
    assert one.true_reduction(GENERIC, shape=0.25) == pytest.approx(0.25 * whole)
    assert one.true_reduction(GENERIC, NOVICE, 0.25) == pytest.approx(
        0.25 * one.true_reduction(GENERIC, NOVICE)
    )
    for shape in (1.0, 0.25, 0.0):
        walked = one.copy()
        seen = net(one.person, walked.walk(GENERIC, 600.0, stream("shape"), shape))
        assert seen[-1] == pytest.approx(1.0 - shape * whole, rel=1e-5)
    first, second = (
        one.copy().walk(GENERIC, 120.0, stream("shape"), *shape).rate.tobytes() for shape in ((), (1.0,))
    )
    assert first == second


def test_who_walks_under_a_curve_unlike_a_law_learns_as_under_the_law() -> None:
    novices = [walker(a=0.0, aT=0.0, **QUIET) for _ in range(2)]
    for novice, shape in zip(novices, (1.0, 0.0), strict=True):
        novice.walk(GENERIC, 600.0, stream("learn"), shape)
    levels = [(novice.state.a, novice.state.aT) for novice in novices]
    assert levels[0] == levels[1] == pytest.approx(adapted_after(10.0))


def test_a_shape_that_is_no_part_is_refused() -> None:
    one = walker()
    for shape in (-0.1, 1.1, np.nan):
        for ask in (
            lambda shape=shape: one.walk(GENERIC, 120.0, stream("bad"), shape),
            lambda shape=shape: one.true_reduction(GENERIC, shape=shape),
        ):
            with pytest.raises(ValueError, match="need a shape from 0 to 1, got"):
                ask()
    assert one.state == walker().state


def test_drift_is_a_stationary_process_with_its_spread_and_memory() -> None:
    rng, count, start = stream("drift"), 2500, []
    end = []
    for _ in range(count):
        one = Walker.start(Participant(), rng)
        start.append(one.state.drift)
        one.walk(GENERIC, 600.0, rng)
        end.append(one.state.drift)
    for values in (start, end):
        assert np.std(values) == pytest.approx(0.01, rel=4 / np.sqrt(2 * count))
    kept = np.exp(-0.5)  # 10 of 20 min
    se = (1 - kept**2) / np.sqrt(count)
    assert se < 0.025 * kept
    assert abs(np.corrcoef(start, end)[0, 1] - kept) < 4 * se


def test_breaths_come_three_seconds_apart_with_a_quarter_spread() -> None:
    breaths = walker(**QUIET).walk(GENERIC, 30_000.0, stream("intervals"))
    gaps = np.diff(breaths.time)
    se = gaps.std() / np.sqrt(gaps.size)
    assert se < 0.003 * 3.0
    assert abs(gaps.mean() - 3.0) < 4 * se
    assert gaps.std() / gaps.mean() == pytest.approx(0.25, rel=0.05)
    logs = np.log(gaps)
    assert kstest((logs - logs.mean()) / logs.std(), "norm").pvalue > 1e-4
    assert breaths.time[-1] < 30_000.0


def test_two_percent_of_the_breaths_are_missed_and_one_percent_are_outliers_with_four_times_the_noise() -> (
    None
):
    seconds = 60_000.0
    every, seen, clean = (
        walker(drift_sd=0.0, missed=missed, outliers=outliers).walk(GENERIC, seconds, stream("breaths"))
        for missed, outliers in ((0.0, 0.01), (0.02, 0.01), (0.0, 0.0))
    )
    count = every.time.size
    kept = np.isin(every.time, seen.time)
    assert seen.rate.tolist() == every.rate[kept].tolist()
    missed = 1.0 - seen.time.size / count
    assert abs(missed - 0.02) < 4 * np.sqrt(0.02 * 0.98 / count)
    wild = every.rate != clean.rate
    for share in (wild.mean(), wild[kept].mean()):
        assert abs(share - 0.01) < 4 * np.sqrt(0.01 * 0.99 / count)
    steady = (1.0 - walker().true_reduction(GENERIC)) * 2.9 + 1.4
    wild &= every.time > 600.0
    noise, usual = every.rate[wild] - steady, clean.rate[wild] - steady
    deep = every.rate[wild] > 0.1  # but no breath shows less
    assert noise[deep] == pytest.approx(4.0 * usual[deep], rel=1e-3, abs=1e-5)
    assert every.rate.min() >= 0.1


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_breath_noise_is_a_part_of_the_net_rate_and_may_be_correlated(correlation: float) -> None:
    one = walker(drift_sd=0.0, missed=0.0, outliers=0.0, breath_correlation=correlation)
    one.state = one.state._replace(y=1.0 - one.true_reduction(GENERIC))
    rates = net(one.person, one.walk(GENERIC, 30_000.0, stream("noise")))
    noise = rates / (1.0 - one.true_reduction(GENERIC)) - 1.0
    se = 1.0 / np.sqrt(noise.size)
    assert se < 0.011
    longer = np.sqrt(
        (1.0 + correlation**2) / (1.0 - correlation**2)
    )  # of a correlated series' error of its sd
    assert noise.std() == pytest.approx(0.178, rel=4 * se * longer)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1] - correlation) < 4 * se


def two_minute_estimates(count: int, **changes: Any) -> Array:
    """Estimates of the generic law, by an expert used to it, as a part of the true net rate."""
    rng, base = stream("estimates"), walker(**changes)
    cost = 1.0 - base.true_reduction(GENERIC)
    base.state = base.state._replace(y=cost)
    rates = [estimate(base.copy().walk(GENERIC, 120.0, rng)).rate for _ in range(count)]
    return (np.array(rates) - base.person.standing_rate) / base.person.net_rate / cost


def test_two_minute_estimates_of_a_law_vary_by_4_6_percent_and_by_5_with_outliers_and_drift() -> None:
    count = 2000
    se = 1.0 / np.sqrt(2 * count)
    assert se < 0.016
    plain = two_minute_estimates(count, drift_sd=0.0, missed=0.0, outliers=0.0)
    assert plain.std() == pytest.approx(0.0455, rel=4 * se)  # Euler design: .046 ± .003
    assert abs(plain.mean() - 1.0) < 4 * 0.046 / np.sqrt(count)
    assert two_minute_estimates(count).std() == pytest.approx(0.0497, rel=4 * se)


def test_the_same_draws_give_the_same_breaths_and_another_law_the_same_noise() -> None:
    one = people("novice", 1)[0]
    first, again = (one.copy().walk(GENERIC, 120.0, stream("same")) for _ in range(2))
    assert first.time.tobytes() == again.time.tobytes()
    assert first.rate.tobytes() == again.rate.tobytes()
    other = one.copy().walk((0.3, 45.0, 20.0, 8.0), 120.0, stream("same"))
    assert other.time.tobytes() == first.time.tobytes()
    assert (other.rate > first.rate).all()  # worse, at every breath


def test_a_copy_goes_its_own_way() -> None:
    one = people("novice", 1)[0]
    before = one.state
    copy = one.copy()
    copy.walk(GENERIC, 120.0, stream("copy"))
    assert one.state == before != copy.state
    assert {field.name for field in dataclasses.fields(one)} == {"person", "state", "learns"}


@pytest.mark.parametrize(
    "law",
    [
        (np.nan, 50.0, 25.0, 10.0), (0.5, np.inf, 25.0, 10.0), (-0.1, 50.0, 25.0, 10.0), (0.5, 50.0, 25.0),
        np.array([0.5, 50.0, 25.0, 10.0, 1.0]),
    ],
)  # fmt: skip
def test_a_law_that_is_none_is_refused(law: Any) -> None:
    one = walker()
    message = rf"need a law of torque >= 0 N·m/kg and peak, rise, fall in % stride, got \({law[0]:g}, "
    for ask in (lambda: one.walk(law, 120.0, stream("bad")), lambda: one.true_reduction(law)):
        with pytest.raises(ValueError, match=message):
            ask()


def test_a_bout_that_is_none_or_too_short_to_measure_is_refused_and_not_walked() -> None:
    one = walker()
    before = one.state
    for seconds in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="need a bout of finite seconds > 0, got"):
            one.walk(GENERIC, seconds, stream("bad"))
    with pytest.raises(ValueError, match="need at least 10 breaths"):
        one.walk(GENERIC, 10.0, stream("bad"))
    assert one.state == before


def test_every_preset_can_walk() -> None:
    for preset in PRESETS:
        rng = stream("preset", preset)
        one = Walker.start(draw_participant(rng, preset), rng)
        assert one.state.y == 0.0
        assert 25 <= one.walk(GENERIC, 120.0, rng).time.size <= 55
