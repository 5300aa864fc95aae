"""The scripts of the exoskeleton's experiments, at tiny sizes."""

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policysearch.core import Array
from policysearch.exoskeleton.human import Participant
from policysearch.exoskeleton.torque_law import GENERIC, HIGHEST, LOWEST
from policysearch.exoskeleton.torque_profile import why_infeasible
from policysearch.seeding import stream

ROOT = Path(__file__).parent.parent.parent
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "experiments/exoskeleton/calibration.py"))
TRUTH = np.array([0.7, -0.05, 0.2, -0.1, -0.1, 0.3, 0.1])


def tiny(out: Path, **changes: int) -> Any:
    sizes = {"people": 40, "bouts": 40, "data_sets": 2, "resamples": 3, "generations": 40} | changes
    return SCRIPT["Arguments"](out, **sizes)


def chosen(rng: np.random.Generator, generations: int) -> tuple[Array, Array]:
    """Laws in sets of eight, and rates whose order follows `TRUTH`.

    With Gumbel noise on what a law is worth, the better of two is a logistic function of the difference.
    """
    laws = rng.uniform(LOWEST, HIGHEST, (generations, 8, 4)) * [0.5, 1.0, 1.0, 1.0] + [0.3, 0.0, 0.0, 0.0]
    return laws, -(SCRIPT["effects"](laws) @ TRUTH + rng.gumbel(size=(generations, 8)))


def test_the_regression_finds_the_effects_that_made_its_data() -> None:
    rng = stream("logit")
    X, y = SCRIPT["pairs"](*chosen(rng, 1500))
    assert X.shape == (1500, 21, 7)
    errors = SCRIPT["bootstrap"](X, y, 40, rng)
    assert (errors < 0.06).all()
    assert (np.abs(SCRIPT["logit"](X, y) - TRUTH) < 4 * errors).all()


def test_standard_errors_are_those_of_data_made_again() -> None:
    rng = stream("errors")
    fits = [SCRIPT["logit"](*SCRIPT["pairs"](*chosen(rng, 200))) for _ in range(100)]
    between = np.std(fits, axis=0, ddof=1)  # what an error is an error of
    X, y = SCRIPT["pairs"](*chosen(rng, 200))
    errors = SCRIPT["bootstrap"](X, y, 100, stream("resamples"))
    assert (errors / between).min() > 0.7
    assert (errors / between).max() < 1.4
    # the same pairs four times tell nothing new: it is generations that are resampled
    again = SCRIPT["bootstrap"](np.tile(X, (1, 4, 1)), np.tile(y, (1, 4)), 100, stream("resamples"))
    assert again == pytest.approx(errors, rel=1e-6)


def test_the_regression_counts_in_the_units_that_it_names() -> None:
    base = np.array([0.55, 50.0, 24.0, 9.0])
    steps = np.array([[0.1, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1.5], [0.1, 2.0, 0, 0]])
    change = SCRIPT["effects"](base + steps) - SCRIPT["effects"](base)
    # peak, its square, torque, its square, rise, fall, torque × peak
    assert change == pytest.approx(
        np.array(
            [
                [0, 0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1, 0],
                [1, 1, 1, 1, 0, 0, 1],
            ]
        )
    )  # fmt: skip
    X, y = SCRIPT["pairs"](
        np.tile(base, (1, 8, 1)) + 0.01 * np.arange(8)[None, :, None], np.arange(8.0)[None]
    )
    assert (y == 1.0).all()  # the first law of every pair costs less
    assert (X[..., 4] < 0.0).all()  # and its rise is shorter


def test_pairs_are_counted_as_ordered_rightly_where_a_fit_to_others_says_so() -> None:
    rng = stream("accuracy")
    laws, rates = chosen(rng, 300)
    X, y = SCRIPT["pairs"](laws, rates)
    bayes = 100.0 * np.mean((X @ TRUTH > 0.0) == (y > 0.5))
    assert SCRIPT["accuracy"](X, y) == pytest.approx(bayes, abs=2.0)
    guesses = [
        SCRIPT["accuracy"](*SCRIPT["pairs"](laws[:30], rng.standard_normal((30, 8)))) for _ in range(40)
    ]
    assert np.mean(guesses) == pytest.approx(50.0, abs=2.0)  # a fit to these pairs, too, would guess 57 %


def test_pairs_that_do_not_determine_the_effects_are_refused() -> None:
    laws, _ = chosen(stream("few"), 30)
    X, y = SCRIPT["pairs"](laws, -SCRIPT["effects"](laws)[..., 0])  # no noise: separated
    with pytest.raises((ValueError, np.linalg.LinAlgError)):
        SCRIPT["logit"](X, y)


@pytest.mark.nightly
def test_every_design_gives_feasible_generations_of_its_own() -> None:
    found = {}
    for design in SCRIPT["DESIGNS"]:
        laws, rates = SCRIPT["rankings"](design, 41, 0, 0)  # somebody has a second session
        assert laws.shape == (41, 8, 4)
        assert all(why_infeasible(law) == "" for law in laws.reshape(-1, 4))
        assert rates.shape == (41, 8)
        assert np.isfinite(rates).all()
        found[design.words] = laws
    assert len({laws.tobytes() for laws in found.values()}) == len(found)
    main = SCRIPT["DESIGNS"][0]
    assert SCRIPT["rankings"](main, 41, 0, 0)[0].tobytes() == found[main.words].tobytes()
    assert SCRIPT["rankings"](main, 41, 0, 1)[0].tobytes() != found[main.words].tobytes()
    on, anew = (found[f"from the generic law, σ 0.2{how}"] for how in ("", ", anew every session"))
    assert [(on[g] == anew[g]).all() for g in range(6)] == [True] * 4 + [
        False,
        True,
    ]  # the fifth, of a second day
    first = found["from the generic law, σ 0.2"][:1].mean(axis=1)
    assert np.abs(first / GENERIC - 1.0).max() < 0.5


def test_the_table_of_ratios_is_matched_within_half_a_percent_without_simulation(tmp_path: Path) -> None:
    rows = list(SCRIPT["ratios"](tiny(tmp_path)))
    assert len(rows) == 20
    for row in [*rows, *SCRIPT["noise"](tiny(tmp_path))]:
        if not math.isnan(row.closed_form):
            assert row.closed_form == pytest.approx(row.target, rel=0.03 if row.unit else 0.005)
    for row in rows:
        assert 0.0 < row.error < 0.15 * row.target
        assert abs(row.simulated - row.closed_form) < 5 * row.error


def test_biases_are_those_of_people_who_start_to_walk(tmp_path: Path) -> None:
    rows = {row.quantity: row for row in SCRIPT["biases"](tiny(tmp_path, bouts=150))}
    assert len(rows) == 8
    for name, row in rows.items():
        assert row.closed_form == pytest.approx(row.target, abs=0.06)
        random_intervals = 1.0 if "minute" in name else 0.0  # breaths at random are not breaths every 3 s
        assert abs(row.simulated - row.closed_form) < 4 * row.error + random_intervals


@pytest.mark.nightly
def test_the_calibration_writes_every_number_and_a_page_that_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SCRIPT["main"](tiny(tmp_path / "out"))
    printed, said = capsys.readouterr()
    assert said.splitlines() == ["landscape …", "noise …", "ratios …", "biases …", "regressions …"]
    page = (tmp_path / "out" / "calibration.md").read_text(encoding="utf-8")
    assert printed.strip() == page.strip()
    assert "nan" not in page
    table = pd.read_csv(tmp_path / "out" / "calibration.csv")
    assert len(table) == 8 + 5 + 6 + 20 + 8 + len(SCRIPT["DESIGNS"]) * (8 + 12) + 7
    assert set(table["kind"]) == {"published", "inferred", "choice", "follows"}
    assert (table["target"].isna() == (table["kind"] == "follows")).all()
    assert table[["closed_form", "simulated"]].notna().any(axis=1).all()
    by_name = table[table["section"] == "What laws are worth"].set_index("quantity")
    assert by_name.loc["generic law, experts", "target"] == 31.0
    assert by_name.loc["generic law, experts", "simulated"] == pytest.approx(30.3, abs=4.0)
    assert by_name.loc["generic law, novices", "simulated"] == pytest.approx(9.9, abs=1.0)
    for row in table.itertuples():
        if row.section in page.split("## What makes")[0]:
            assert f"| {row.quantity} |" in page


def test_a_gap_is_put_in_words() -> None:
    row = SCRIPT["Row"]("", "", "", target=1.0, target_error=0.3, error=0.4)
    words = [SCRIPT["gap"](row._replace(simulated=value)) for value in (1.25, 1.6, 0.4, 2.5, -1.0)]
    # both errors together are 0.5
    assert words == [
        "agrees (+0.5)",
        "higher (+1.2)",
        "lower (-1.2)",
        "clearly higher (+3.0)",
        "clearly lower (-4.0)",
    ]


@pytest.mark.parametrize("name", ["people", "bouts", "data_sets", "resamples", "generations"])
def test_sizes_too_small_for_a_standard_error_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}: expected at least \d+, got 1"):
        tiny(tmp_path, **{name: 1})


def test_the_calm_person_is_the_usual_one_but_for_what_is_named() -> None:
    calm = SCRIPT["CALM"]
    assert calm._replace(a=0.0, aT=0.0, drift_sd=0.01, missed=0.02, outliers=0.01) == Participant()
