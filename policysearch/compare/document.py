"""The result of a comparison as plain data, as `result.json` has it."""

from typing import Any

import policysearch
from policysearch.compare.comparison import Comparison
from policysearch.compare.readable import remarks
from policysearch.compare.verdict import of_task


def document(comparison: Comparison) -> dict[str, Any]:
    """The study, what follows from it in words, and for each task the summary and the pairs of methods."""
    return {
        "format": "policysearch comparison result 1",
        "version": policysearch.__version__,
        "study": comparison.study.document(),
        "tasks": {
            task: {
                "verdict": of_task(comparison, task),
                "summary": _rows(comparison.summary, task),
                "pairs": _rows(comparison.pairs, task),
            }
            for task in comparison.tasks
        },
        "remarks": list(remarks(comparison)),
    }


def _rows(table: Any, task: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table[table["task"] == task].drop(columns="task").to_dict("records")
    return rows
