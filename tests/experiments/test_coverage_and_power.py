"""The measurement of coverage and power runs, and knows the truths of its shapes."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parent.parent.parent / "experiments/coverage_and_power"


@pytest.mark.parametrize(
    ("name", "iqm", "mean"),
    [
        ("normal", 0.0, 0.0),
        ("exponential", 0.738, 1.0),
        ("lognormal", 1.072, 1.649),
        ("10 % disasters", -0.157, -2.0),
    ],
)
def test_the_truth_of_a_shape_is_its_own(name: str, iqm: float, mean: float) -> None:
    """The middle half of exponential returns: 2 ∫ −ln(1 − u) du from ¼ to ¾ = 2 (½ + ¼ ln ¼ − ¾ ln ¾) = 0.738."""
    shapes = runpy.run_path(str(FOLDER / "shapes.py"))
    drawn = shapes["SHAPES"][name](np.random.default_rng(1), (200_000,))
    assert shapes["middle"](drawn) == pytest.approx(iqm, abs=0.015)
    assert shapes["true_mean"](name) == pytest.approx(mean, abs=0.001)
    assert drawn.mean() == pytest.approx(mean, abs=0.06)


@pytest.mark.nightly
def test_every_question_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["measure.py", "--studies", "2", "--out", str(tmp_path)])
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    runpy.run_path(str(FOLDER / "measure.py"), run_name="__main__")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| ours |" in text
    for name in ("iqm", "tasks", "improvement", "mean", "power", "pilots"):
        assert len(pd.read_csv(tmp_path / f"{name}.csv"))
