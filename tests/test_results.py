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
