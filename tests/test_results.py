"""What is kept in results/: complete pages, recommendations that can be replayed, and not too many bytes."""

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from policysearch.compare.recommendation import replay, same
from policysearch.compare.saved import RECOMMENDATIONS_FILE, load, load_all
from policysearch.simulators.lqr import chain

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
PAGES = [ROOT / "README.md", *sorted(RESULTS.glob("**/*.md"))]
STUDIES = [file.parent for file in sorted(RESULTS.glob(f"**/{RECOMMENDATIONS_FILE}"))]
MAX_MEGABYTES = 12
#: Runs that take a second at most, of every kind of file header.
REPLAYED = (
    "classic_control/recommendations.npz/lqr/cma-es/3",
    "classic_control/recommendations.npz/CartPole-v1/reinforce/9",
    "cma_es_restarts/recommendations.npz/0",
    "gradient_mode/classic/recommendations.npz/CartPole-v1/ars/0",
    "pendulum_linear/recommendations.npz/cma-es/5",
    "whitening/recommendations.npz/whitened:ars/1",
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def kept() -> list[Path]:
    """Files in results/, without those that a study writes there and git ignores."""
    of_gallery = {"curves.png", "study.toml", "summary.csv", "summary.md"}
    return [
        path
        for path in RESULTS.glob("**/*")
        if path.is_file()
        and not path.match("*.svg")
        and not path.match("ledger.sqlite*")
        and (path.parent != RESULTS / "controllers/study" or path.name in of_gallery)
    ]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    for link in filter(None, (target for pair in links for target in pair)):
        if "://" not in link and not link.startswith("#"):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_every_picture_of_results_is_shown_on_a_page() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    }
    pictures = [path for path in kept() if path.suffix in {".png", ".gif"}]
    assert len(pictures) > 40
    assert [named(path) for path in pictures if path not in shown] == []


def test_results_are_small() -> None:
    assert sum(path.stat().st_size for path in kept()) < MAX_MEGABYTES * 1e6
    assert len(kept()) < 300


@pytest.mark.parametrize("folder", STUDIES, ids=named)
def test_every_run_of_a_study_has_its_recommendation(folder: Path) -> None:
    study = tomllib.loads((folder / "study.toml").read_text(encoding="utf-8"))
    runs = pd.read_csv(folder / "runs.csv", dtype=str)
    saved = load_all(folder / RECOMMENDATIONS_FILE)
    listed = [(header.task, header.optimizer, header.run) for header, _ in saved]
    assert len(set(listed)) == len(listed) == len(runs)
    tasks, labels = list(study["tasks"]), list(study["optimizers"])
    assert listed == sorted(listed, key=lambda key: (tasks.index(key[0]), labels.index(key[1]), key[2]))
    found = {key: header for key, (header, _) in zip(listed, saved, strict=True)}
    for row in runs.to_dict("records"):
        header = found[row["task"], row["optimizer"], int(row["run"])]
        assert same(header.final_return, float(row["final_return"]))
        assert header.seed == int(row["seed"])
        assert header.report_episodes == study["report_episodes"]
    assert all(np.isfinite(params).all() for _, params in saved)


@pytest.mark.parametrize("name", REPLAYED)
def test_a_kept_recommendation_gives_its_return_again(name: str) -> None:
    again = replay(RESULTS / name)
    if again.header.failed_episodes is None:  # written when sines were those of the C library
        assert again.final_return == pytest.approx(again.header.final_return, rel=1e-6)
    else:
        assert again.same


def test_what_pages_say_to_replay_is_there() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    commands = [
        line for text in texts for line in re.findall(r"policysearch\.compare (replay results/[^`\n]*)", text)
    ]
    assert commands
    for command in commands:
        load(ROOT / shlex.split(command)[1])


def decided(folder: str, task: str, x: str, y: str) -> str | None:
    """Which of two methods the study's own test finds better."""
    pairs = pd.read_csv(RESULTS / folder / "pairs.csv").query(f"task == {task!r}")
    row = pairs[((pairs["x"] == x) & (pairs["y"] == y)) | ((pairs["x"] == y) & (pairs["y"] == x))].iloc[0]
    return None if pd.isna(row["better"]) else str(row["better"])


def means(folder: str, task: str) -> "pd.Series[float]":
    """IQM of every method."""
    summary = pd.read_csv(RESULTS / folder / "summary.csv").query(f"task == {task!r}")
    return summary.set_index("optimizer")["iqm"]


def said(page: str, *sentences: str) -> None:
    text = " ".join((RESULTS / page).read_text(encoding="utf-8").split())
    for sentence in sentences:
        assert sentence in text, f"{page}: reword this test with the page: {sentence}"


def test_gradient_mode_claims_what_its_tables_decide() -> None:
    folder = "gradient_mode/classic"
    ends = {task: means(folder, task).round() for task in ("CartPole-v1", "Pendulum-v1")}
    blind = (
        "random-search",
        "hill-climbing",
        "cross-entropy",
        "cma-es",
        "snes",
        "pgpe",
        "evolution-strategy",
        "ars",
    )
    inside = {"natural-gradient": -217, "trpo": -215, "ppo-fast": -185}
    said(
        "gradient_mode/README.md",
        "`ppo-fast` (−185) is better than every gradient-free method; the natural gradient (−217) and TRPO (−215) are better "
        "than all of them but SNES (−771)",
        "(−1,084 to −1,305) have lower means than SNES, a difference that 10 runs do not decide",
        "it was chosen on the runs that are reported",
        "the natural gradient ends at −713, TRPO at −330 and PPO at −713",
        "worse than REINFORCE on CartPole at the setting of its source (90 against 137), and not distinguished from it",
        "ends at 164 after 300 rollouts of CartPole, below random search",
    )
    for method, value in inside.items():
        assert ends["Pendulum-v1"][method] == value
        ahead = {decided(folder, "Pendulum-v1", method, other) for other in blind if other != "snes"}
        assert ahead == {method}
        assert decided(folder, "Pendulum-v1", method, "snes") == (method if method == "ppo-fast" else None)
    rows = ("reinforce", "reinforce-fast", "off-policy-reinforce", "off-policy-fast")
    likelihood = ends["Pendulum-v1"][list(rows)]
    assert (likelihood.max(), likelihood.min()) == (-1084, -1305)
    assert max(ends["Pendulum-v1"][list(blind)]) == ends["Pendulum-v1"]["snes"] == -771
    assert {decided(folder, "Pendulum-v1", "snes", row) for row in rows} == {None}
    others = ends["Pendulum-v1"][["natural-gradient-fast", "trpo-fast", "ppo"]]
    assert list(others) == [-713, -330, -713]
    assert ends["CartPole-v1"]["pgpe"] == 164
    assert decided(folder, "CartPole-v1", "pgpe", "random-search") == "random-search"
    for first in ("natural-gradient", "natural-gradient-fast"):
        assert decided(folder, "CartPole-v1", first, "random-search") is None
    assert decided(folder, "CartPole-v1", "reinforce", "off-policy-reinforce") == "reinforce"
    assert decided(folder, "Pendulum-v1", "reinforce", "off-policy-reinforce") is None
    for task in ends:
        assert decided(folder, task, "reinforce-fast", "off-policy-fast") is None


def test_five_runs_on_the_hopper_decide_nothing() -> None:
    said(
        "gradient_mode/README.md",
        "five runs decide no pair",
        "SNES has the highest interquartile mean (1,037), then ARS with normalised observations (1,026), whose five runs are "
        "within 3 % of each other",
        "`trpo-fast`'s (2,307), whose others end at 213 to 1,836",
    )
    folder = RESULTS / "gradient_mode/hopper"
    assert pd.read_csv(folder / "pairs.csv")["better"].isna().all()
    best = means("gradient_mode/hopper", "Hopper-v5").nlargest(2).round()
    assert best.to_dict() == {"snes": 1037, "whitened:ars": 1026}
    runs = pd.read_csv(folder / "runs.csv")
    ars = runs[runs["optimizer"] == "whitened:ars"]["final_return"]
    assert ars.max() / ars.min() < 1.03
    trpo = runs[runs["optimizer"] == "trpo-fast"]["final_return"].round().sort_values()
    assert list(trpo)[:1] + list(trpo)[-2:] == [213, 1836, 2307]
    assert runs["final_return"].max() == runs[runs["optimizer"] == "trpo-fast"]["final_return"].max()


def test_ppo_next_to_stable_baselines_is_what_its_table_says() -> None:
    said(
        "gradient_mode/README.md",
        "ours reaches 497 to 500 on CartPole in five runs, Stable-Baselines3 210 to 500",
        "(−1,082 ± 7 against −1,178 ± 23)",
    )
    table = pd.read_csv(RESULTS / "gradient_mode/sb3_ppo.csv").groupby(["task", "ppo"])["return"]
    ends = table.agg(["min", "max", "mean", "sem"]).round()
    assert ends.loc[("CartPole-v1", "policysearch"), ["min", "max"]].tolist() == [497, 500]
    assert ends.loc[("CartPole-v1", "stable-baselines3"), ["min", "max"]].tolist() == [210, 500]
    assert ends.loc[("Pendulum-v1", "policysearch"), ["mean", "sem"]].tolist() == [-1082, 7]
    assert ends.loc[("Pendulum-v1", "stable-baselines3"), ["mean", "sem"]].tolist() == [-1178, 23]


def test_classic_control_claims_what_its_tables_decide() -> None:
    said(
        "classic_control/README.md",
        "at −0.40 to −0.47: 67 to 97 % more cost than the optimum's 0.24",
        "They are not distinguished from each other",
        "Nelder–Mead (−3.77, between −75 and −1.86) is distinguished from the first of them only",
        "seven more methods are not distinguished from them",
    )
    ends, best = means("classic_control", "lqr"), -chain().optimal_return()
    three = list(ends.sort_values(ascending=False).index[:3])
    assert three == ["evolution-strategy", "ars", "reinforce"]
    assert [round(-100 * ends[method] / best - 100) for method in (three[0], three[2])] == [67, 97]
    for method in three:
        assert {decided("classic_control", "lqr", method, other) for other in three if other != method} == {
            None
        }
    assert [decided("classic_control", "lqr", "nelder-mead", other) for other in three] == [
        three[0],
        None,
        None,
    ]
    top = ("hill-climbing", "cma-es", "ars", "whitened:ars")
    poles = means("classic_control", "CartPole-v1")
    assert set(poles[poles.round() == 500].index) == set(top)
    equal = [
        name
        for name in poles.index.difference(top)
        if {decided("classic_control", "CartPole-v1", name, other) for other in top} == {None}
    ]
    assert len(equal) == 7
