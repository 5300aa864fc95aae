"""The gallery: every controller, gait and study of `results/` with its picture, its numbers and its command."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from generator import markdown

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "results"
#: From the page to the results.
UP = "../../../results"
BEST = 3  # methods that are shown of a study
#: What a picture of the exoskeleton's page shows; the numbers are on that page.
WALKING = {
    "methods.png": "Energy saved by the methods, against bouts",
    "training.png": "What training changes",
    "trade_offs.png": "Minutes for each law against the number of laws",
    "participants.png": "Every simulated person: the law that was found and the best one",
}


def pages() -> Mapping[str, str]:
    """The page."""
    parts = [
        "# Gallery",
        "Every picture with its numbers and its command. All of it is read from `results/`.",
    ]
    parts += [
        "## Controllers",
        *_controllers(),
        "## Gaits",
        *_gaits(),
        "## A person in the loop",
        *_walking(),
    ]
    parts += [
        "## Studies",
        *_studies(),
        "## Estimators of the gradient",
        *_estimates(),
        "## Lecture claims",
        *_claims(),
    ]
    return {"index.md": "\n\n".join(parts) + "\n"}


def _controllers() -> Iterator[str]:
    """The seven controllers, before and after 100 rollouts."""
    yield _command("python experiments/controllers/gallery.py --out results/controllers")
    for task, rows in pd.read_csv(RESULTS / "controllers/gains.csv").groupby("task", sort=False):
        yield f"### {task}"
        yield f"![{task}, before and after]({UP}/controllers/{task}.png)"
        cells = [
            (of.controller, _short(of.mean_return), f"{of.rollouts:,}", of.parameters)
            for of in rows.itertuples()
        ]
        yield markdown.table(["controller", "mean return", "rollouts", "gains"], cells, "lrrl")
    yield "The methods on all of them: [controllers](../studies/controllers/index.md)."


def _gaits() -> Iterator[str]:
    folder = RESULTS / "aibo_gait"
    yield f"![The first gait and a learned one]({UP}/aibo_gait/gaits.gif)"
    yield from _study(folder / "study", picture=False)
    for name, what in (
        ("learning_curves.png", "Speed against traversals"),
        ("loci.png", "The paths of the feet"),
    ):
        yield f"![{what}]({UP}/aibo_gait/{name})"
    yield "More, and where this disagrees with the paper: [an AIBO learns to walk](../studies/aibo_gait/index.md)."


def _walking() -> Iterator[str]:
    page = (RESULTS / "exoskeleton/README.md").read_text(encoding="utf-8")
    yield _command(
        *[line.split("#")[0].strip() for line in re.findall(r"^    (python .*)$", page, re.MULTILINE)]
    )
    for name, what in WALKING.items():
        yield f"![{what}]({UP}/exoskeleton/{name})"
    table = re.search(r"(?:^\|.*\n)+", page, re.MULTILINE)
    yield table[0].strip() if table else ""
    yield "All questions and numbers: [an hour of walking](../studies/exoskeleton/index.md)."


def _studies() -> Iterator[str]:
    """Every other folder with the tables of a comparison."""
    for summary in sorted(RESULTS.glob("**/summary.csv")):
        if summary.parent.parent.name not in ("aibo_gait", "controllers"):
            yield f"### {summary.parent.relative_to(RESULTS)}"
            yield from _study(summary.parent)


def _study(folder: Path, *, picture: bool = True) -> Iterator[str]:
    """Command, the best methods of each task, and the curves."""
    if (file := folder / "environment.json").is_file():
        yield _command(json.loads(file.read_text(encoding="utf-8"))[0]["command"])
    rows = []
    for task, of_task in pd.read_csv(folder / "summary.csv").groupby("task", sort=False):
        for row in of_task.sort_values("iqm", ascending=False).head(BEST).itertuples():
            interval = f"{_short(row.iqm)} ({_short(row.ci_low)} … {_short(row.ci_high)})"
            rows.append((task, f"`{row.optimizer}`", interval, row.runs))
    header = ["task", "best methods", "final return, interquartile mean (95 %)", "runs"]
    yield markdown.table(header, rows, "llrr")
    if picture:
        yield f"![Return of the recommendation against rollouts]({UP}/{folder.relative_to(RESULTS)}/curves.png)"


def _estimates() -> Iterator[str]:
    for folder in sorted((RESULTS / "gradients").iterdir()):
        yield f"### {folder.name} estimators"
        yield _command(f"policysearch gradients {folder.name} --out results/gradients/{folder.name}")
        yield f"![Error, bias and cosine]({UP}/gradients/{folder.name}/estimates.png)"
        yield f"[All numbers](../studies/gradients/{folder.name}/estimates.md)."


def _claims() -> Iterator[str]:
    """The ten claims, each with its verdict."""
    page = (RESULTS / "lecture_claims/README.md").read_text(encoding="utf-8")
    yield _command("python experiments/lecture_claims/run.py")
    for letter, claim, verdict in re.findall(r"^\| (\w) \| (.*?) \| (.*) \|$", page, re.MULTILINE):
        yield f"### {letter}. {claim}"
        yield f"**{verdict}**"
        for picture in sorted((RESULTS / "lecture_claims").glob(f"{letter}_*.png")):
            yield f"![{picture.stem}]({UP}/lecture_claims/{picture.name})"


def _command(*lines: str) -> str:
    return "\n".join(["```console", *lines, "```"])


def _short(value: float) -> str:
    """A number in as many digits as people read."""
    return f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:,.0f}"
