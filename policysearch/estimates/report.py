"""What `policysearch.estimates.measurement` found, as a table in words, a picture and files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from policysearch.estimates.measurement import Estimates
from policysearch.files import write_text
from policysearch.gradients.estimators import FROM_ROLLOUTS
from policysearch.reporting.figures import COLOURS, DASHES, drawing, figure_of, legend, svg, write_png
from policysearch.reporting.tables import csv, markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A mean estimate further than this many of its own standard errors from the truth is called biased.
BIASED_BEYOND = 3.0
#: With fewer repeats the standard error itself is too uncertain to accuse an estimator.
ENOUGH_REPEATS = 20
MARKERS = "osD^v<>PX*"


def readable(found: Estimates) -> pd.DataFrame:
    """A row per estimator, at the largest number of rollouts, as text."""
    largest = max(found.request.rollouts)
    rows = []
    for name in found.request.estimators:
        mine = found.table[found.table["estimator"] == name]
        at = mine[mine["rollouts"] == largest]
        if at.empty:
            rows.append({"estimator": name, "bias": "needs more rollouts or fewer parameters"})
            continue
        row = at.iloc[0]
        rows.append(
            {
                "estimator": name,
                "bias": f"{row['bias']:.2g}"
                if row["z"] > BIASED_BEYOND
                else f"< {BIASED_BEYOND * row['noise']:.2g}",
                "spread": f"{row['std']:.2g}",
                "signal/noise": f"{row['snr']:.2g}",
                "cosine (95 %)": f"{row['cosine']:.3f} ({row['cosine_low']:.3f} … {row['cosine_high']:.3f})",
                "in theory": "biased" if row["biased_because"] else "unbiased",
            }
        )
    return pd.DataFrame(rows).fillna("")


def verdict(found: Estimates) -> list[str]:
    """What stands out, in sentences."""
    table, largest = found.table, max(found.request.rollouts)
    at = table[table["rollouts"] == largest]
    lines = []
    wrong = table[(table["z"] > 4.0) & (table["repeats"] >= ENOUGH_REPEATS) & (table["biased_because"] == "")]
    if len(wrong):
        names = ", ".join(sorted(set(wrong["estimator"])))
        lines.append(f"These should be unbiased, and are not within 4 standard errors: {names}.")
    if len(at):
        best = at.sort_values("cosine").iloc[-1]
        lines.append(
            f"Nearest to the true direction with {largest} rollouts: {best['estimator']}, cosine "
            f"{best['cosine']:.3f} ({best['cosine_low']:.3f} … {best['cosine_high']:.3f})."
        )
    biased = at[(at["z"] > BIASED_BEYOND) & (at["biased_because"] != "")]
    lines += [
        f"{row['estimator']} is biased by {row['bias']:.2g} of the gradient's size: {row['biased_because']}."
        for _, row in biased.iterrows()
    ]
    return lines


def title(found: Estimates) -> str:
    """What was measured, in one line."""
    request, truth = found.request, found.truth
    error = np.linalg.norm(truth.error) / np.linalg.norm(truth.gradient)
    exact = f" (its own error {error:.3f} of its size)" if error else ""
    return (
        f"∇J on {request.task.name}, policy {request.task.policy}, {truth.gradient.size} parameters, discount "
        f"{request.discount:g}, {request.repeats} estimates each; the truth is the {truth.source}{exact}"
    )


def picture(found: Estimates) -> "Figure":
    """Error, bias and cosine against the number of rollouts; score-function estimators solid, the others dashed."""
    names, sizes = list(found.request.estimators), sorted(found.request.rollouts)
    from matplotlib.ticker import NullLocator  # noqa: PLC0415 - slow to import

    with figure_of(1, 3, 13.0, 4.2 + 0.055 * len(names)) as (figure, axes):
        error, bias, cosine = axes[0]
        for i, name in enumerate(names):
            rows = found.table[found.table["estimator"] == name]
            if rows.empty:
                continue
            style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
            style |= {
                "linestyle": "-" if name in FROM_ROLLOUTS else DASHES[1],
                "linewidth": 1.2,
                "markersize": 4,
            }
            N = rows["rollouts"]
            error.plot(N, np.hypot(rows["bias"], rows["std"]), label=name, **style)
            bias.plot(N, rows["bias"].where(rows["z"] > BIASED_BEYOND), **style)
            cosine.plot(N, rows["cosine"], **style)
            cosine.fill_between(
                N, rows["cosine_low"], rows["cosine_high"], color=style["color"], alpha=0.12, lw=0
            )
        error.set(ylabel="root mean square error / ‖∇J‖", yscale="log")
        bias.set(ylabel="bias / ‖∇J‖, where it shows", yscale="log")
        if not (found.table["z"] > BIASED_BEYOND).any():
            bias.set_yticks([])
            bias.text(
                0.5, 0.5, "no bias shows beyond\nthree standard errors", transform=bias.transAxes, ha="center"
            )
        cosine.set(ylabel="cosine with the true gradient")
        for axis in axes[0]:
            axis.set(xscale="log", xlabel="rollouts per estimate", xlim=(sizes[0] * 0.85, sizes[-1] * 1.18))
            axis.set_xticks(sizes, labels=[str(size) for size in sizes])
            axis.xaxis.set_minor_locator(NullLocator())
        legend(figure, [error], loc="outside lower center", ncols=4)
        figure.suptitle(title(found), fontsize=9)
        return figure


def write(found: Estimates, out: Path, command: str, environment: dict[str, Any]) -> None:
    """Write estimates.csv, estimates.md, estimates.png and estimates.svg.

    Raises:
        OSError: if the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "estimates.csv", csv(found.table, float_format="%.6g"))
    versions = ", ".join(f"{name} {value}" for name, value in environment.items() if name != "process")
    text = [
        f"# {title(found)}",
        f"With {max(found.request.rollouts)} rollouts per estimate, in units of ‖∇J‖ (`<`: no bias is seen beyond "
        f"this, three standard errors). Written by `{command}` "
        f"({versions}).",
        "![error, bias and cosine against rollouts](estimates.png)",
        markdown(readable(found)),
        "\n".join(f"- {line}" for line in verdict(found)),
    ]
    write_text(out / "estimates.md", "\n\n".join(text) + "\n")
    with drawing():
        figure = picture(found)
        write_png(out / "estimates.png", figure)
        write_text(out / "estimates.svg", svg(figure, "estimates"))
