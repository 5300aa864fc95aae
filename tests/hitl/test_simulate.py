"""Many simulated people: every number of an outcome worked out from a person without noise."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from policysearch.exoskeleton.human import adapted_after
from policysearch.exoskeleton.torque_law import GENERIC
from policysearch.hitl.people import SimulatedPerson
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.simulate import StudyArm, mean_and_interval, outcomes, summary, take_part

#: Nobody's breaths scatter, drift, go missing or lag (but for a second).
QUIET = {"breath_sd": 0.0, "drift_sd": 0.0, "missed": 0.0, "outliers": 0.0, "tau": 1.0}
PLAN = SessionPlan(bouts=16, warm_up=4.0, tau=1.0)


@pytest.fixture(scope="module")
def row() -> dict[str, float]:
    return take_part(StudyArm("quiet", PLAN, "zhang2017", QUIET, then=30.0), 3, seed=7).row


def test_truths_are_those_of_the_landscape_at_the_adaptation_that_is_named(row: dict[str, float]) -> None:
    walker = SimulatedPerson("zhang2017", (7, "person", 3), changes=QUIET).walker
    law = [row[f"law: {name}"] for name in PLAN.space.names]
    minutes = {"true": 4.0 + 32.0, "later": 4.0 + 32.0 + 24.0, "then": 30.0, "adapted": 1e6}
    for stage, walked in minutes.items():
        levels = adapted_after(walked)
        assert row[stage] == pytest.approx(100 * walker.true_reduction(law, levels))
        assert row[f"{stage} reference"] == pytest.approx(100 * walker.true_reduction(GENERIC, levels))
        best = walker.true_reduction(walker.best_law(levels), levels)
        assert row[f"{stage} best"] == pytest.approx(100 * best)
    assert row["minutes"] == 36.0
    assert row["bouts"] == 16


def test_without_noise_what_is_measured_and_claimed_is_true(row: dict[str, float]) -> None:
    assert row["true"] < row["measured"] < row["later"]  # of bouts between
    assert row["true reference"] < row["measured reference"] < row["later reference"]
    assert row["claimed"] == pytest.approx(row["claimed true"], abs=0.5)  # the person learns during the bout
    assert abs(row["measured"] - row["measured reference"]) > 0.5


@pytest.mark.nightly  # by day on the command line
def test_every_arm_meets_the_same_people_and_the_workers_change_nothing() -> None:
    arms = [
        StudyArm("one", replace(PLAN, validation=0.0)),
        StudyArm("two", replace(PLAN, validation=0.0, optimizer="spsa")),
    ]
    alone = [outcome.row for outcome in outcomes(arms, 3, seed=2)]
    together = [outcome.row for outcome in outcomes(arms, 3, seed=2, workers=2)]
    pd.testing.assert_frame_equal(pd.DataFrame(alone), pd.DataFrame(together), check_exact=True)
    by_arm = pd.DataFrame(alone).pivot(index="participant", columns="arm", values="adapted best")
    np.testing.assert_array_equal(by_arm["one"], by_arm["two"])
    assert by_arm["one"].nunique() == 3


def test_an_interval_is_students_and_there_is_none_of_one_number() -> None:
    values = [3.0, 5.0, 4.0, 8.0]
    mean, sd, low, high = mean_and_interval(values)
    expected = stats.t.interval(0.95, 3, loc=5.0, scale=sd / 2)
    assert (mean, sd) == (5.0, pytest.approx(np.std(values, ddof=1)))
    assert (low, high) == pytest.approx(expected)
    assert np.isnan(mean_and_interval([3.0])[1:]).all()


def test_a_summary_has_a_row_per_arm_and_quantity() -> None:
    rows = pd.DataFrame(
        {"arm": ["a", "a", "b", "b"], "participant": [0, 1, 0, 1], "true": [1.0, 3.0, 5.0, 5.0]}
    )
    table = summary(rows).set_index(["arm", "quantity"])
    assert list(table.index) == [("a", "true"), ("b", "true")]
    assert table.loc[("a", "true"), "mean"] == 2.0
    assert table.loc[("b", "true"), "low"] == 5.0
