"""Sentences of the exoskeleton's page, on invented tables in which the published claims would be false."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def said() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "experiments/exoskeleton"))
        yield importlib.import_module("session_sentences")


def methods(a: tuple[float, ...], b: tuple[float, ...]) -> pd.DataFrame:
    """Two methods from centre and generic law, first steps of 0.3 and 0.15."""
    columns = ("centre | 0.3", "centre | 0.15", "generic | 0.3", "generic | 0.15")
    rows = [
        (f"{name} | {c}", x)
        for name, values in (("a", a), ("b", b))
        for c, x in zip(columns, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["arm", "mean"]).assign(quantity="true")


def gaps(rows: Mapping[str, tuple[float, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [(arm, *row) for arm, row in rows.items()], columns=["arm", "difference", "low", "high"]
    )


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ((10, 10, 20, 20), (11, 11, 21, 21), "Where the search starts makes a larger difference"),
        ((10, 10, 11, 11), (20, 20, 21, 21), "Which method searches makes a larger difference"),
        ((10, 10, 20, 11), (11, 20, 21, 21), "Neither the start nor the method alone decides"),
    ],
)
def test_start_and_method_are_compared_column_by_column(
    said: ModuleType, a: tuple[float, ...], b: tuple[float, ...], words: str
) -> None:
    assert words in said.start_or_method(methods(a, b))


def test_two_methods_are_apart_by_their_largest_difference(said: ModuleType) -> None:
    assert "at most 9.0 points" in said.apart(methods((10, 10, 20, 11), (11, 19, 21, 12)), "a", "b")
    found = said.steps(methods((10, 11, 20, 21), (10, 15, 20, 25)))
    assert "`b` depends most on the size of its steps: 5.0 points" in found


def test_methods_are_above_the_generic_law_by_their_intervals(said: ModuleType) -> None:
    rows = gaps({
        "a | generic | 0.15": (1.5, 1.0, 2.0),
        "b | generic | 0.15": (0.4, -0.1, 0.8),
        "c | generic | 0.15": (-1.0, -2.0, -0.5),
        "a | centre | 0.15": (3.0, 2.0, 4.0),
    })  # fmt: skip
    assert said.against_generic(rows, "generic", "0.15") == (
        "From the generic law with first steps of 0.15, 1 of 3 searches end measurably above the generic law by 1.5 to "
        "1.5 points (`a`), 1 measurably below it, and 1 are not told apart from it."
    )
    assert "1 of 1 searches end measurably above" in said.against_generic(rows, "centre")


@pytest.mark.parametrize(
    ("early", "late", "words"),
    [
        ((-1.7, -2.4, -0.9), (1.4, 0.8, 2.0), ("is worse than", "more than customizing at once")),
        (
            (0.1, -0.4, 0.6),
            (0.3, -0.2, 0.8),
            ("is not told apart from", "not told apart from customizing at once"),
        ),
        (
            (0.1, -0.4, 0.6),
            (0.5, -0.1, 1.1),
            ("is not told apart from", "not told apart from customizing at once"),
        ),
        ((2.7, 2.3, 3.1), (1.0, 0.5, 1.5), ("is better than", "less than customizing at once")),
    ],
    ids=["backfires", "undecided", "overlapping", "pays"],
)
def test_customizing_early_backfires_if_its_interval_says_so(
    said: ModuleType,
    early: tuple[float, float, float],
    late: tuple[float, float, float],
    words: tuple[str, str],
) -> None:
    rows = gaps({
        "customize at once | centre | 0.3": early,
        "train 64 min, then customize | centre | 0.3": late,
        "customize for 128 min | centre | 0.3": late,
    })  # fmt: skip
    found = said.backfires(rows, "centre")
    assert f"a novice {words[0]} the generic law" in found
    assert f", {words[1]}" in found


def test_other_lengths_and_time_constants_are_told_by_their_intervals(said: ModuleType) -> None:
    rows = gaps({
        "2 | centre | 0.3": (0.0, 0.0, 0.0),
        "3 | centre | 0.3": (0.5, 0.1, 0.9),
        "1 | centre | 0.3": (-3.0, -4.0, -2.0),
        "1 | generic | 0.15": (-1.0, -2.0, 0.5),
    })  # fmt: skip
    found = said.lengths(rows)
    assert "from either start: 3." in found
    assert "from both starts: no length; from one start: 1 " in found
    constants = said.time_constants(
        gaps({"30.0 | cma-es": (0.8, 0.3, 1.4), "66.0 | cma-es": (-0.1, -0.6, 0.4)})
    )
    assert constants.endswith(
        "`cma-es` with 66 s -0.1 (-0.6 … +0.4), not measurable. The gain is not explained."
    )
    assert "explained" not in said.time_constants(gaps({"66.0 | cma-es": (-0.1, -0.6, 0.4)}))


@pytest.mark.parametrize(
    ("law", "half", "words"),
    [
        (23.0, 1.0, "is better here than"),
        (23.0, 2.0, "is not better here than"),
        (17.0, 1.0, "is worse here than"),
    ],
)
def test_the_generic_law_is_better_if_its_interval_is_above(
    said: ModuleType, law: float, half: float, words: str
) -> None:
    people = pd.DataFrame({"quantity": ["true", "true reference"], "mean": [20.0, law]})
    found = said.generic_or_search(people.assign(low=people["mean"] - half, high=people["mean"] + half), "13")
    assert words in found


def test_the_page_is_the_one_that_its_tables_give(said: ModuleType) -> None:
    folder = ROOT / "results/exoskeleton"
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert said.start_or_method(pd.read_csv(folder / "b_methods.csv")) in page
    assert said.against_generic(pd.read_csv(folder / "b_against_generic.csv"), "generic", "0.15") in page
    assert said.time_constants(pd.read_csv(folder / "e_time_constants_against_42.csv")) in page
    assert said.dimensions(pd.read_csv(folder / "f_dimensions.csv")) in page
