"""Sentences of the page of the gaits, on invented tables in which the published claims would be false."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent.parent
METHODS = ("cma-es", "hill-climbing", "genetic", "finite-difference", "nelder-mead")


@pytest.fixture(scope="module")
def said() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "experiments/aibo_gait"))
        yield importlib.import_module("gait_sentences")


def pairs(*decided: tuple[str, str]) -> pd.DataFrame:
    """All pairs of METHODS; those named are decided for their first."""
    rows = [
        {"x": x, "y": y, "p_joint": 0.0001 if {x, y} in map(set, decided) else 0.114}
        | {"better": next((first for first, other in decided if {first, other} == {x, y}), None)}
        for i, x in enumerate(METHODS)
        for y in METHODS[i + 1 :]
    ]
    return pd.DataFrame(rows)


def summary(**iqm: float) -> pd.DataFrame:
    values = {name.replace("_", "-"): value for name, value in iqm.items()}
    return pd.DataFrame({"optimizer": values.keys(), "iqm": values.values(), "runs": 30})


ENDS = summary(cma_es=300, hill_climbing=290, genetic=277, finite_difference=271, nelder_mead=241)


def test_an_order_is_claimed_for_decided_pairs_alone(said: ModuleType) -> None:
    found = said.follow_up(pairs(("hill-climbing", "nelder-mead")))
    decided, _, undecided = found.partition("; not decided: ")
    assert decided == "decided: `hill-climbing` above `nelder-mead` (p < .001)"
    assert "`hill-climbing` and `genetic` (p = .114)" in undecided
    assert undecided.count(" and ") == 5
    other_way = said.follow_up(pairs(("nelder-mead", "hill-climbing")))
    assert "`nelder-mead` above `hill-climbing` (p < .001)" in other_way


def test_methods_are_sorted_by_what_the_test_says_of_the_rule(said: ModuleType) -> None:
    some = pairs(("cma-es", "finite-difference"), ("finite-difference", "nelder-mead"))
    assert said.against_rule(ENDS, some) == (
        "Better than the rule of Kohl & Stone (`finite-difference`): `cma-es`. Not told apart from it: `hill-climbing` and "
        "`genetic`. Worse: `nelder-mead`."
    )
    assert "Better than the rule of Kohl & Stone (`finite-difference`): no method." in said.against_rule(
        ENDS, pairs()
    )
    assert "`cma-es` ends highest" in said.leader(ENDS, some)
    assert said.leader(summary(genetic=9, cma_es=8), pairs(("genetic", "cma-es"))).endswith("from no method.")


def rule(ends: object, starts: float = 227.0) -> pd.DataFrame:
    return pd.DataFrame({"optimizer": "finite-difference", "final_return": ends, "start_return": starts})


def curves(last: float) -> pd.DataFrame:
    rows = [(run, at, 200.0 + run) for run in range(10) for at in (0, 70)] + [
        (run, 100, last + run) for run in range(10)
    ]
    return pd.DataFrame(rows, columns=["run", "rollouts", "return_mean"]).assign(
        optimizer="finite-difference"
    )


@pytest.mark.parametrize(
    ("gained", "words"),
    [
        (43.0, "The gain is smaller than the paper's"),
        (141.0, "The gain is not told apart from the paper's"),
        (200.0, "The gain is not smaller than the paper's"),
    ],
)
def test_a_gain_agrees_with_the_paper_by_its_interval(said: ModuleType, gained: float, words: str) -> None:
    ends = 227.0 + gained + np.linspace(-20.0, 20.0, 30)
    found = said.gain(rule(ends), curves(210.0))
    assert words in found
    assert "rule learns" in found
    assert "does not measurably learn" in said.gain(rule(227.0 + np.linspace(-20.0, 20.0, 30)), curves(210.0))
    assert "not faster than the paper's" in said.gain(rule(ends, 140.0), curves(210.0))


@pytest.mark.parametrize(
    ("last", "words"),
    [(210.0, "still rises"), (190.0, "falls"), (200.0, "neither rises nor falls measurably")],
)
def test_a_curve_rises_if_it_does(said: ModuleType, last: float, words: str) -> None:
    assert words in said.rises(curves(last))


def test_runs_below_the_start_are_counted(said: ModuleType) -> None:
    assert said.below_start(rule([200.0, 210.0, 300.0])).startswith("2 of 3 runs of Kohl & Stone's rule end")
    assert said.below_start(rule([230.0, 300.0])).startswith("None of 2 runs")


def test_directions_are_counted_by_their_intervals(said: ModuleType) -> None:
    rows = {
        "parameter": ["a", "b", "c"],
        "moved": [1.0, -1.0, 0.2],
        "low": [0.5, -2.0, -0.1],
        "high": [2.0, -0.5, 0.5],
    }
    found = said.directions(pd.DataFrame(rows | {"paper_moved": [1.0, 1.0, 1.0]}))
    assert found.startswith("Paper's direction (1): a; opposite direction (1): b; undecided (1): c.")


@pytest.mark.parametrize(
    ("speed", "words"), [(102.0, "slower than"), (225.0, "about as fast as"), (300.0, "faster than")]
)
def test_the_papers_gait_is_compared_with_its_error(said: ModuleType, speed: float, words: str) -> None:
    assert words in said.paper_gait(speed, 48.0, 227.0)


def test_an_order_at_another_noise_is_claimed_only_where_it_is_decided(said: ModuleType) -> None:
    assert "the order of the methods is open" in said.order(pairs(), "twice", 8)
    assert said.order(pairs(("cma-es", "genetic")), "half", 8).endswith(": `cma-es` above `genetic`.")
    before, runs = rule(np.linspace(250.0, 290.0, 30)), rule(np.linspace(245.0, 285.0, 8))
    assert said.changes(runs, before, "Twice").endswith("Measurable: no method.")
    assert said.changes(runs.assign(final_return=100.0), before, "Twice").endswith(
        "Measurable: `finite-difference`."
    )


def test_the_page_is_the_one_that_its_tables_give(said: ModuleType) -> None:
    page = (ROOT / "results/aibo_gait/README.md").read_text(encoding="utf-8")
    study = ROOT / "results/aibo_gait/study"
    tables = {name: pd.read_csv(study / f"{name}.csv") for name in ("summary", "pairs", "runs", "curves")}
    assert said.leader(tables["summary"], tables["pairs"]) in page
    assert said.against_rule(tables["summary"], tables["pairs"]) in page
    assert said.follow_up(tables["pairs"]) in page
    assert said.gain(tables["runs"], tables["curves"]) in page


def test_what_runs_that_were_made_again_give_is_said_by_their_table(said: ModuleType) -> None:
    runs = pd.DataFrame({"task": "t", "optimizer": METHODS, "run": 0, "final_return": 200.0})
    again = runs.assign(final_return=[200.0, 200.0 + 1e-8, 210.0, 200.0, 200.0])
    sentence = said.made_with("0.1.0", runs, again)
    assert (
        "4 of 5 methods end at the same speed to nine digits; others: `genetic` at 210 mm/s and not 200."
        in sentence
    )
    assert sentence.startswith("The runs were made with policysearch 0.1.0;")
    assert "others: none." in said.made_with("0.1.0", runs, runs)
