"""The scores of what it is worth to tell a tuning more."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parent.parent.parent / "experiments/tuning_options"


@pytest.fixture(scope="module")
def scores() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("tuning_options")
    finally:
        sys.path.remove(str(FOLDER))


def test_regret_is_0_at_the_best_1_at_the_start_and_where_a_constraint_is_broken(
    scores: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allowed(plant: str, values: object) -> float:
        return 1.0  # of the long search

    def nominal(plant: str, values: object) -> float:
        return 3.0  # of the start

    monkeypatch.setattr(scores, "allowed", allowed)
    monkeypatch.setattr(scores, "nominal", nominal)
    monkeypatch.setattr(scores, "QUESTIONS", {"q": (allowed, {})})
    monkeypatch.setattr(scores, "long_search", lambda plant, criterion: {})
    table = pd.DataFrame(
        {
            "question": "q",
            "plant": "servo",
            "variant": "v",
            "rollouts": 30,
            "seed": range(5),
            "value": [1.0, 2.0, 3.0, np.inf, 9.0],
        }
    )
    found = scores.with_regret(table)
    assert found["regret"].tolist() == [0.0, 0.5, 1.0, 1.0, 2.0]
    wide = scores.wide(found)
    assert wide.iloc[0].tolist() == ["q", "servo", "v", 30, 0.0, 0.5, 1.0, 1.0, 2.0]
