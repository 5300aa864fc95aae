"""The gallery of controllers: what it draws is what evaluators return, what it prints is what the files say."""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import policysearch
from policysearch.compare.run import report_key
from policysearch.core import Array, Proposal
from policysearch.search import held_out
from policysearch.tasks import TASKS, make_evaluator

FOLDER = Path(__file__).parent.parent.parent / "experiments/controllers"
KEPT = Path(__file__).parent.parent.parent / "results/controllers"
BEST_KNOWN = pd.read_csv(FOLDER / "best_known.csv", index_col="task")
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(FOLDER))
    GALLERY: dict[str, Any] = runpy.run_path(str(FOLDER / "gallery.py"))
NAMES = [name for name in GALLERY["SHOWN"] if name in TASKS and name in BEST_KNOWN.index]
FIXED = {"start": "start", "ziegler_nichols": "Ziegler & Nichols", "best_known": "best known"}


def returns(name: str, params: Array, episodes: int, key: tuple[int | str, ...]) -> Array:
    task = TASKS[name]
    evaluator = make_evaluator(task, task.make_policy(), kind="compiled")
    found = evaluator.evaluate(Proposal(params, params[0], episodes), key).returns
    evaluator.close()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_drawn_episode_adds_up_to_the_return_of_the_evaluator(name: str) -> None:
    params, key = GALLERY["known"](TASKS[name])["best known"], ("gallery", name)
    drawn = GALLERY["episode"](TASKS[name], params, key)
    assert (
        len(drawn.obs) == len(drawn.rewards) + 1 == len(drawn.actions) + 1 == TASKS[name].episode_steps() + 1
    )
    assert drawn.rewards.sum() == pytest.approx(returns(name, params[None], 1, key)[0, 0], rel=1e-9)


def test_actions_are_drawn_as_the_plant_gets_them() -> None:
    task = TASKS["cart-pole-lqr"]
    space = GALLERY["space_of"](task)
    params = space.encode(np.array([1e6, 1e-4, 1e-4, 1e-4]))  # asks for far more than 20 N
    drawn = GALLERY["episode"](task, params, ("gallery", task.name))
    assert np.abs(drawn.actions).max() == 20.0


def test_a_controller_is_read_back_as_it_was_written() -> None:
    for name in NAMES:
        space, text = GALLERY["space_of"](TASKS[name]), str(BEST_KNOWN.loc[name, "parameters"])
        assert GALLERY["said"](space, GALLERY["known"](TASKS[name])["best known"]) == text


@pytest.mark.parametrize("name", ["tanks-pid", "pendulum-swing-up"])
def test_the_table_of_gains_returns_what_best_known_csv_says(name: str) -> None:
    table = GALLERY["gains"](TASKS[name], GALLERY["known"](TASKS[name]), 0).set_index("controller")
    for column, controller in FIXED.items():
        if not np.isnan(expected := BEST_KNOWN.loc[name, column]):
            assert table.loc[controller, "mean_return"] == pytest.approx(expected, rel=1e-4)
    assert table.loc["best known", "rollouts"] == BEST_KNOWN.loc[name, "rollouts"]


def test_returns_that_are_near_the_best_are_within_five_per_cent_of_its_size_whatever_its_sign() -> None:
    costs = pd.DataFrame([[-104.9, -105.1, -90.0], [-100.0] * 3], ["x", "best known"])
    speeds = pd.DataFrame([[95.1, 94.9, np.nan], [100.0] * 3], ["x", "best known"])
    assert GALLERY["hits"](costs, "x") == 2
    assert GALLERY["hits"](speeds, "x") == 1


def test_a_run_without_a_result_is_worse_than_the_rule_and_a_tie_is_not() -> None:
    below = GALLERY["below"]
    assert below(np.array([1.0, 2.0, np.nan, 0.5]), np.ones(4)) == "2, 3"
    assert below(np.ones(2), np.ones(2)) == "none"
    assert below(np.zeros(2), np.ones(2)) == "all 2"


def test_the_angle_of_a_pendulum_that_goes_over_the_bottom_has_a_gap_there() -> None:
    angles = np.array([3.0, 3.1, -3.1, -3.0])
    obs = np.stack([np.cos(angles), np.sin(angles), np.zeros(4)], axis=1)
    drawn = GALLERY["Episode"](obs, np.zeros((3, 1)), np.zeros(3), np.zeros((4, 2)))
    assert GALLERY["rod_angle"](drawn) == pytest.approx([3.0, 3.1, np.nan, -3.0], nan_ok=True)


def test_a_page_is_made_of_a_study_and_made_again_from_what_is_kept_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = {"tasks": ["tanks-pid"], "optimizers": ["auto", "spsa"], "rollouts": 100, "runs": 2}
    policysearch.compare(study, out=tmp_path / "study", progress=False)
    monkeypatch.setattr(sys, "argv", ["gallery.py", "--out", str(tmp_path)])
    GALLERY["main"]()
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    with Image.open(tmp_path / "tanks-pid.png") as picture:
        assert len(picture.getcolors() or ()) > 4
    runs = pd.read_csv(tmp_path / "study/runs.csv").query("optimizer == 'auto'")
    ends = pd.read_csv(tmp_path / "final_returns.csv", index_col="method")[["0", "1"]]
    assert ends.loc["auto"].to_numpy() == pytest.approx(runs["final_return"].to_numpy(), rel=1e-5)
    assert ends.loc["start"].to_numpy() == pytest.approx(runs["start_return"].to_numpy(), rel=1e-5)
    assert ends.loc["best known"].gt(ends.loc["start"]).all()
    (tmp_path / "study/runs.csv").unlink()
    (tmp_path / "study/pairs.csv").unlink()
    GALLERY["main"]()
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == page
    assert "tanks-pid: searching" in capsys.readouterr().err


def test_its_sentences_say_what_the_tables_say() -> None:
    ends = pd.DataFrame(
        {
            "task": ["a"] * 5 + ["b"] * 4,
            "method": ["auto", "x", *FIXED.values(), "auto", "x", "start", "best known"],
            "0": [-1.04, -3.0, -9.0, -2.0, -1.0, -8.0, -1.0, -5.0, -1.0],
            "1": [-1.2, -1.0, -9.0, -2.0, -1.0, -4.0, np.nan, -5.0, -1.0],
        }
    ).set_index(["task", "method"])
    decided = pd.DataFrame({"task": ["a", "b"], "better": ["auto", "x"], "worse": ["x", "auto"]})
    said = GALLERY["sentences"](ends, ["auto", "x"], decided)
    assert "**No method is near the best known on every task**" in said["everywhere"]
    assert "of the 4 runs on a task, 2 on a, 1 on b." in said["everywhere"]
    assert "in 1 of 4 runs and below its start in 1." in said["default"]
    assert "of 2: 1 on a, 1 on b. Of its 2 pairs" in said["default"]
    assert "better in 1 and worse in 1 (`x` on b)" in said["default"]
    assert said["undecided"] == "2 runs leave 0 of 2 pairs undecided"
    assert said["above_rule"].endswith("on a: `auto`.")
    only = ends.drop("b")
    more = pd.concat([only, only.query("method == 'auto'").rename(index={"auto": "y"})])
    assert GALLERY["sentences"](more, ["auto", "y", "x"], decided)["above_rule"].endswith(
        "on a: all but `x`."
    )
    assert said["start"].endswith(": `auto` (b); `x` (b).")
    usual = GALLERY["sentences"](ends.drop("b"), ["auto", "x"], decided)["everywhere"]
    assert "**No method" in usual, "half of the runs are not more than half"
    ends.loc[("a", "auto"), "1"] = -1.0
    assert (
        "**`auto` is near the best known on every task**"
        in GALLERY["sentences"](ends.drop("b"), ["auto", "x"], decided)["everywhere"]
    )


def test_without_a_study_the_gallery_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gallery.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        GALLERY["main"]()
    assert stop.value.code == 2
    assert "summary.csv" in capsys.readouterr().err


def test_what_is_drawn_as_tuned_is_run_0_of_the_kept_study() -> None:
    ends = pd.read_csv(KEPT / "final_returns.csv", index_col=["task", "method"])
    task = TASKS["tanks-pid"]
    params, spent = GALLERY["tuned"](task)
    evaluator = make_evaluator(task, task.make_policy(), kind="compiled")
    found = evaluator.evaluate(held_out(params[None], 20), report_key(0, task.name, 0)).returns
    evaluator.close()
    assert found.mean() == pytest.approx(ends.loc[(task.name, "auto"), "0"], rel=1e-5)
    assert 90 <= spent <= 100


def test_the_kept_page_shows_the_kept_tables() -> None:
    page = (KEPT / "README.md").read_text(encoding="utf-8")
    kept = pd.read_csv(KEPT / "gains.csv")
    ends = pd.read_csv(KEPT / "final_returns.csv", index_col=["task", "method"])
    summary = pd.read_csv(KEPT / "study/summary.csv", index_col=["task", "optimizer"])
    assert set(kept["task"]) == set(ends.index.unique("task"))
    for name, rows in kept.groupby("task", sort=False):
        space, unit = GALLERY["space_of"](TASKS[name]), GALLERY["SHOWN"][name].unit
        assert GALLERY["gains_table"](rows, space, unit) in page
        assert GALLERY["methods_table"](ends.loc[name], summary.loc[name]) in page
        means = rows.set_index("controller")["mean_return"]
        for column, controller in FIXED.items():
            if controller in means.index:
                assert means[controller] == pytest.approx(BEST_KNOWN.loc[name, column], rel=1e-3)
