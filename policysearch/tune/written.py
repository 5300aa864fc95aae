"""The files of a tuning, from Python and from the shell: tables, texts, pictures, and `result.json`."""

from pathlib import Path
from typing import Any

import policysearch
from policysearch.files import write_text
from policysearch.plain_data import for_others
from policysearch.reporting.figures import write_png
from policysearch.reporting.tables import csv
from policysearch.tune.held_out import HeldOut, mean_of
from policysearch.tune.result import TuneResult

#: Files that some results have.
TABLES = ("robustness.csv", "sensitivity.csv")
PICTURES = ("tries.png", "sensitivity.png", "pairs.png", "tradeoff.png")


def write(result: TuneResult, out: Path) -> str:
    """Write the files of a result, and remove those of an earlier one; returns why there are no pictures, if so.

    Raises:
        OSError: with the name of the file, if it cannot be written.
    """
    tables = {"history.csv": result.history}
    if result.perturbed:
        tables["robustness.csv"] = result.robustness
    if result.sensitivity is not None:
        tables["sensitivity.csv"] = result.sensitivity.slices
    texts = {name: csv(table) for name, table in tables.items()}
    texts["result.txt"] = f"{result}\n"
    texts["result.json"] = for_others(document(result))
    for name, text in texts.items():
        write_text(out / name, text)
    pictures: tuple[str, ...] = ()
    said = ""
    try:
        pictures = draw(result, out)
    except OSError:
        raise
    except Exception as error:  # such as returns too large to draw
        said = f"no pictures: {type(error).__name__}: {error}"
    for name in {*TABLES, *PICTURES} - {*texts, *pictures}:
        (out / name).unlink(missing_ok=True)
    return said


def draw(result: TuneResult, out: Path) -> tuple[str, ...]:
    """Write the pictures of a result; returns their names."""
    pictures = {f"{name}.png": figure for name, figure in result.pictures().items()}
    for name, figure in pictures.items():
        write_png(out / name, figure)
    return tuple(pictures)


def places(out: Path) -> str:
    """Where the files of a result are, in words."""
    pictures = [str(out / name) for name in PICTURES if (out / name).exists()]
    return "\n".join(
        [f"rollouts: {out / 'history.csv'}", *([f"pictures: {', '.join(pictures)}"] if pictures else [])]
    )


def document(result: TuneResult) -> dict[str, Any]:
    """The result as plain data, as `result.json` has it."""
    seen, value = result.best_seen
    return {
        "format": "policysearch tuning result 1",
        "version": policysearch.__version__,
        "recommended": result.values,
        "start": result.start,
        "units": {p.name: p.unit for p in result.space.parameters if p.unit},
        "goal": result.goal,
        "rollouts": len(result.rollouts),
        "failed_rollouts": sum(bool(rollout.reason) for rollout in result.rollouts),
        "ended": result.ended,
        "note": result.note,
        "held_out": _held_out(result.held_out),
        "perturbed": {name: _held_out(held_out) for name, held_out in result.perturbed.items()},
        "best_seen": {"parameters": seen, "return": value} if seen else None,
        "remarks": list(result.remarks),
    }


def _held_out(held_out: HeldOut) -> dict[str, Any] | None:
    """The recommendation and the start on held-out seeds; None where they were not evaluated."""
    if not len(held_out.returns):
        return None
    mean, low, high = held_out.improvement
    metrics = {name: [mean_of(of), mean_of(of_start)] for name, (of, of_start) in held_out.metrics.items()}
    return {
        "episodes": len(held_out.returns),
        "recommended": held_out.means[0],
        "start": held_out.means[1],
        "improvement": {"mean": mean, "low": low, "high": high},
        "failed": list(held_out.failed),
        "metrics": metrics,
    }
