"""Pictures of the AIBO study: how the methods learn, where the feet go, and the walk itself.

    python experiments/aibo_gait/pictures.py --study results/aibo_gait/study --out results/aibo_gait

| file | what is in it |
| --- | --- |
| `learning_curves.svg`, `.png` | speed of the recommendation against traversals, and reported speeds |
| `loci.svg`, `.png` | commanded and actual positions of the left feet, before and after learning |
| `strip.png`, `gaits.gif` | both gaits from the side: one cycle in six pictures, and three seconds |

The learned gait is what the run of `--method` (Kohl & Stone's, unless given) with the median final return
recommends. Speeds are the study's; the walk that is shown is one on a level floor of middling friction, with a fairly
full battery. Exit codes: 2 where the study has no such results; 3 where the robot cannot be drawn, after all
other files have been written.
"""

# mypy: disable-error-code="no-untyped-call"

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from policysearch.aibo import AUSTIN_VILLA, CMU, KOHL_STONE, UNSW
from policysearch.aibo.ers210 import FOOT_RADIUS, FORWARD, FRONT_LEFT, REAR_LEFT, SHOULDER_X, ball_from_angles
from policysearch.aibo.half_ellipse_gait import SPACE, TABLE, HalfEllipseGait, locus
from policysearch.aibo.robot import AiboEnv
from policysearch.aibo.traversal import FRAME, FRAMES, RUN_UP_FRAMES, TIMED_FRAMES
from policysearch.compare.comparison import Comparison
from policysearch.compare.saved import RECOMMENDATIONS_FILE, load
from policysearch.compare.statistics import curve_interval, iqm
from policysearch.core import Array
from policysearch.deploy.files import Name
from policysearch.files import replacing, write_text
from policysearch.reporting.figures import COLOURS, DASHES, figure_of, svg

TASK, PAPERS_METHOD = "aibo-gait", "finite-difference"
TRAVERSALS, HOURS = 1035, 3.0  # of Kohl & Stone's experiment, with three robots
GERMAN_TEAM = 230.0  # mm/s
#: mm/s, reported of real robots; all but the first as recalled, not verified.
REPORTED = {
    "Kohl & Stone 2004, real robot": KOHL_STONE,
    "UNSW, hand-tuned*": UNSW,
    "UT Austin Villa, hand-tuned*": AUSTIN_VILLA,
    "German Team, hand-tuned*": GERMAN_TEAM,
    "CMU, hand-tuned*": CMU,
}
SEED = 1  # of the traversal that is shown
STRIP = 6  # pictures of a cycle
GIF_STRIDE = 5  # frames of the robot for one of the film: 25 per second
FRAMES_OF_FILM = range(RUN_UP_FRAMES, RUN_UP_FRAMES + TIMED_FRAMES, GIF_STRIDE)
GIF_SIZE, CAPTION = (304, 171), 24  # pixels: width and height of one gait, height of its text
GIF_COLOURS = 32
CROP = (50, 14, 450, 239)  # of a picture: left, top, right, bottom
FEET = {"front left": (FRONT_LEFT, COLOURS[0]), "rear left": (REAR_LEFT, COLOURS[1])}


@dataclass(frozen=True)
class Gait:
    """Twelve numbers in the paper's units, and the speed that the study found for them."""

    name: str
    values: Float[Array, "12"]
    speed: float  # mm/s

    @property
    def caption(self) -> str:
        """Name and speed."""
        return f"{self.name}: {self.speed:.0f} mm/s"


@dataclass
class Walk:
    """One traversal, frame by frame; pictures by the number of their frame."""

    clock: list[float] = field(default_factory=list)  # s
    angles: list[Float[Array, "12"]] = field(default_factory=list)  # rad
    pictures: dict[int, Any] = field(default_factory=dict)


def runs_of(comparison: Comparison, folder: Path, method: str) -> pd.DataFrame:
    """The rows of a method's runs, slowest first.

    Raises:
        ValueError: if the study has none.
    """
    if not comparison.has(TASK, method):
        there = ", ".join(comparison.labels) or "none"
        raise ValueError(f"{folder}: no run of {method} on {TASK}; methods that are there: {there}")
    runs = comparison.runs
    return runs[(runs["task"] == TASK) & (runs["optimizer"] == method)].sort_values("final_return")


def recommended(folder: Path, method: str, run: int) -> Float[Array, "12"]:
    """What a run recommends, in the paper's units.

    Raises:
        ValueError: if its file is missing, or is not one of a gait.
    """
    _, params = load(folder / RECOMMENDATIONS_FILE / str(Name(TASK, method, run)))
    return SPACE.decode(params)


def start(comparison: Comparison) -> Gait:
    """Where all searches begin."""
    runs = comparison.runs
    speed = runs.loc[runs["task"] == TASK, "start_return"].mean()
    return Gait("start gait", np.array([row[2] for row in TABLE]), float(speed))


def walked(gait: Gait, wanted: Any = ()) -> Walk:
    """A traversal without noise, with pictures of the frames that are wanted.

    Raises:
        RuntimeError: if the robot falls, or pictures are wanted and nothing can draw them.
    """
    walk = Walk()
    env: Any = AiboEnv(noise=0.0, render_mode="rgb_array" if len(wanted) else None)
    policy, params = HalfEllipseGait(16), SPACE.encode(gait.values)[None]
    obs, _ = env.reset(seed=SEED)
    try:
        for frame in range(FRAMES):
            walk.clock.append(float(obs[0]))
            walk.angles.append(obs[4:])
            if frame in wanted:
                walk.pictures[frame] = env.render()
            action, _ = policy.act(params, obs[None], np.empty((1, 0)))
            obs, _, fallen, _, _ = env.step(action[0])
            if fallen:
                raise RuntimeError(
                    f"{gait.name}: the robot falls {frame * FRAME:.1f} s after it began to walk"
                )
    finally:
        env.close()
    return walk


def cycle(gait: Gait, clock: Any) -> tuple[int, int]:
    """The first frame after the run-up that begins a cycle of the left front leg, and how many the cycle has."""
    period, phase = gait.values[10], np.asarray(clock) / gait.values[10] % 1.0
    begins = np.flatnonzero(np.diff(phase) < 0) + 1
    return int(begins[begins >= RUN_UP_FRAMES][0]), round(period / FRAME)


# ------------------------------------------------------------------------------------------ learning curves
def spread(heights: list[float], gap: float) -> list[float]:
    """Ascending heights spread as little as keeps neighbours `gap` away, around their common middle."""
    placed: list[list[float]] = []  # groups that touch
    for height in heights:
        placed.append([height])
        while len(placed) > 1 and _lowest(placed[-1], gap) - _highest(placed[-2], gap) < gap:
            above = placed.pop()
            placed[-1] += above
    return [_lowest(group, gap) + gap * i for group in placed for i in range(len(group))]


def _lowest(group: list[float], gap: float) -> float:
    return float(np.mean(group)) - gap * (len(group) - 1) / 2


def _highest(group: list[float], gap: float) -> float:
    return float(np.mean(group)) + gap * (len(group) - 1) / 2


def learning_curves(comparison: Comparison, first: Gait) -> Any:
    """Interquartile means over the runs with their 95 % intervals; methods that end best are named first."""
    rows = comparison.summary[comparison.summary["task"] == TASK].sort_values("iqm", ascending=False)
    marks = dict(sorted({**REPORTED, "start gait, simulated": first.speed}.items(), key=lambda item: item[1]))
    curves = {label: comparison.curve(TASK, label, "rollouts") for label in rows["optimizer"]}
    top = max(KOHL_STONE, *(float(np.nanmax(iqm(values))) for _, values in curves.values()))
    low, high = CMU - 12.0, top + 0.08 * (top - CMU)
    with figure_of(1, 1, 9.2, 5.0) as (figure, axes):
        axis = axes[0, 0]
        for label, (grid, values) in curves.items():
            number = comparison.labels.index(label)
            colour, dashes = COLOURS[number % 7], DASHES[number // 7 % 3]
            ends = curve_interval(values, comparison.study.seed, "curve", TASK, label, "rollouts")
            name = f"{label}: {rows.set_index('optimizer').loc[label, 'iqm']:.0f}"
            width = 2.6 if label == PAPERS_METHOD else 1.5
            axis.plot(grid, iqm(values), color=colour, linestyle=dashes, linewidth=width, label=name)
            axis.fill_between(grid, *ends, color=colour, alpha=0.12, linewidth=0)
        _mark(axis, marks, 0.034 * (high - low))
        axis.set(xlim=(0, max(grid[-1] for grid, _ in curves.values())), ylim=(low, high))
        axis.set(xlabel="traversals", ylabel="speed of the recommended gait (mm/s)")
        hours = axis.secondary_xaxis("top", functions=(hours_of, traversals_in))
        hours.set_xlabel(
            f"hours of walking with three robots, for whom {TRAVERSALS:,} traversals took {HOURS:g}"
        )
        title = f"final speed in mm/s, interquartile mean of {rows['runs'].max()} runs"
        figure.legend(
            loc="outside lower center", ncols=5, fontsize=8, frameon=False, title=title, title_fontsize=8
        )
    return figure


def _mark(axis: Any, marks: dict[str, float], gap: float) -> None:
    """Lines at ascending speeds, named to the right of the axes."""
    for (name, speed), place in zip(marks.items(), spread(list(marks.values()), gap), strict=True):
        axis.axhline(speed, color="0.45", linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=0.5)
        axis.annotate(
            f"{speed:.0f}  {name}", (1, speed), (1.03, place), xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"), fontsize=8, va="center", color="0.25", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0},
        )  # fmt: skip
    axis.annotate("* real robot, as recalled", (1.03, 0), xycoords="axes fraction", fontsize=8, color="0.25")


def hours_of(traversals: Any) -> Any:
    """How long three robots walked for so many traversals."""
    return np.asarray(traversals) / TRAVERSALS * HOURS


def traversals_in(hours: Any) -> Any:
    """How many traversals three robots made in so many hours."""
    return np.asarray(hours) / HOURS * TRAVERSALS


# ------------------------------------------------------------------------------------------------- the feet
def in_side_view(gait: Gait, leg: int, balls: Float[Array, "t 3"]) -> Float[Array, "t 2"]:
    """Places of a leg's sole, forward of the body's middle and above the ground, in mm.

    The body is where the gait's heights would have it; see `half_ellipse_gait` for the rotation that is undone.
    """
    heights = gait.values[8:10] / 100.0  # m
    sine = np.clip((heights[1] - heights[0]) / (2.0 * SHOULDER_X), -1.0, 1.0)
    cosine, rear = np.sqrt(1.0 - sine**2), leg >= REAR_LEFT
    x, z = FORWARD[leg] * balls[:, 0], balls[:, 2]
    shoulder = cosine * (-SHOULDER_X if rear else SHOULDER_X)
    up = heights[1 if rear else 0] - (sine * x - cosine * z)
    return np.asarray(1000.0 * np.column_stack([shoulder + cosine * x + sine * z, up]))


def loci(gaits: list[tuple[Gait, Walk]]) -> Any:
    """The paths of the left feet from the side, as commanded and as the servos make them."""
    with figure_of(1, len(gaits), 10.0, 3.1, sharex=True, sharey=True) as (figure, axes):
        for axis, (gait, walk) in zip(axes[0], gaits, strict=True):
            begin, length = cycle(gait, walk.clock)
            times = np.linspace(0.0, gait.values[10], 400)
            for name, (leg, colour) in FEET.items():
                angles = [q[3 * leg : 3 * leg + 3] for q in walk.angles[begin : begin + length + 1]]
                made = np.array([ball_from_angles(leg, *three) for three in angles])
                wanted, path = (in_side_view(gait, leg, p) for p in (locus(gait.values, leg, times), made))
                axis.plot(
                    *wanted.T, color=colour, linestyle=(0, (4, 2)), linewidth=1.1, label=f"{name}, commanded"
                )
                label = f"{name}, executed (a dot per {1000 * FRAME:g} ms)"
                axis.plot(*path.T, ".-", color=colour, linewidth=1.6, markersize=4, label=label)
            _body(axis, gait)
            axis.axhline(0.0, color="0.3", linewidth=1.0, zorder=0.5)
            axis.text(
                0, -3, "ground, were the body as commanded", fontsize=8, color="0.4", ha="center", va="top"
            )
            axis.set(aspect="equal", xlabel="forward of the middle of the body (mm)")
            period, grounded = gait.values[10:12]
            title = f"{gait.caption}, cycle {period:.3f} s, {100 * grounded:.0f} % on ground"
            axis.set_title(title, fontsize=9, loc="left")
        axes[0, 0].set(ylabel="sole above ground (mm)", ylim=(-16, None))
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _body(axis: Any, gait: Gait) -> None:
    """The line from hip to shoulder, as commanded."""
    balls = [in_side_view(gait, leg, np.zeros((1, 3)))[0] for leg in (REAR_LEFT, FRONT_LEFT)]
    ends = np.array(balls) + np.array([0.0, 1000.0 * FOOT_RADIUS])  # heights end at the middle of a ball
    axis.plot(*ends.T, "o-", color="0.7", linewidth=5, markersize=9, zorder=0.5)
    for end, name, side in zip(ends, ("hip", "shoulder"), ("right", "left"), strict=True):
        offset = (8 if side == "left" else -8, 0)
        axis.annotate(
            name, end, offset, textcoords="offset points", ha=side, va="center", fontsize=8, color="0.4"
        )


# ------------------------------------------------------------------------------------------------- the walk
def film_strip(gaits: list[tuple[Gait, Walk]]) -> Any:
    """One cycle of each gait from the side."""
    left, width = 1.15, 1.8  # inches, of the names and of one picture
    height = width * (CROP[3] - CROP[1]) / (CROP[2] - CROP[0])
    whole_width, whole_height = left + STRIP * width, len(gaits) * height
    with figure_of(len(gaits), STRIP, whole_width, whole_height, layout=None) as (figure, axes):
        figure.subplots_adjust(left / whole_width, 0.005, 1, 0.995, wspace=0.02, hspace=0.03)
        for row, (gait, walk) in zip(axes, gaits, strict=True):
            begin, length = cycle(gait, walk.clock)
            for axis, share in zip(row, np.arange(STRIP) / STRIP, strict=True):
                frame = begin + round(share * length)
                axis.imshow(walk.pictures[frame][CROP[1] : CROP[3], CROP[0] : CROP[2]], aspect="auto")
                axis.set_axis_off()
                stamp = f"{(frame - begin) * FRAME:.2f} s"
                axis.text(0.03, 0.95, stamp, color="white", fontsize=9, va="top", transform=axis.transAxes)
            name = gait.caption.replace(": ", "\n").replace(" by ", " by\n")
            row[0].text(-0.04, 0.5, name, fontsize=9, ha="right", va="center", transform=row[0].transAxes)
    return figure


def frames_of_strip(gait: Gait, clock: list[float]) -> set[int]:
    """The frames that `film_strip` shows."""
    begin, length = cycle(gait, clock)
    return {begin + round(share * length) for share in np.arange(STRIP) / STRIP}


def film(gaits: list[tuple[Gait, Walk]], path: Path) -> None:
    """Write both gaits, one above the other, as an animated GIF with one palette."""
    font = ImageFont.truetype(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 14)
    width, height = GIF_SIZE
    images = []
    for frame in FRAMES_OF_FILM:
        image = Image.new("RGB", (width, len(gaits) * (height + CAPTION)), "white")
        for i, (gait, walk) in enumerate(gaits):
            top = i * (height + CAPTION)
            ImageDraw.Draw(image).text((6, top + CAPTION // 2), gait.caption, "black", font, anchor="lm")
            shown = Image.fromarray(walk.pictures[frame]).crop(CROP)
            image.paste(shown.resize(GIF_SIZE, Image.Resampling.LANCZOS), (0, top + CAPTION))
        images.append(image)
    palette = images[0].quantize(GIF_COLOURS)
    first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    with replacing(path) as part:
        first.save(
            part, format="gif", save_all=True, append_images=others, loop=0,
            duration=round(1000 * GIF_STRIDE * FRAME),
        )  # fmt: skip


def save(figure: Any, out: Path, name: str, *, vector: bool = True, dpi: int = 130) -> None:
    """Write a figure as PNG and as SVG."""
    with replacing(out / f"{name}.png") as part:
        figure.savefig(part, format="png", dpi=dpi, metadata={"Software": None})
    if vector:
        write_text(out / f"{name}.svg", svg(figure, name))


def main() -> int:
    """Everything that can be made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", type=Path, default=Path("results/aibo_gait/study"))
    parser.add_argument("--out", type=Path, default=Path("results/aibo_gait"))
    parser.add_argument("--method", default=PAPERS_METHOD, help="whose learned gait is shown")
    arguments = parser.parse_args()
    study, out, method = arguments.study, arguments.out, arguments.method
    try:
        comparison = Comparison.read(study)
        runs = runs_of(comparison, study, method)
        middle = runs.iloc[(len(runs) - 1) // 2]  # of an even number, the lower of both
        gait = recommended(study, method, int(middle["run"]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    first, last = start(comparison), Gait(f"learned by {method}", gait, float(middle["final_return"]))
    out.mkdir(parents=True, exist_ok=True)
    save(learning_curves(comparison, first), out, "learning_curves")
    missing = "loci.svg, loci.png, strip.png and gaits.gif are missing"
    try:
        walks = [(gait, walked(gait)) for gait in (first, last)]
        save(loci(walks), out, "loci")
        missing = "strip.png and gaits.gif are missing"
        wanted = [frames_of_strip(gait, walk.clock) | set(FRAMES_OF_FILM) for gait, walk in walks]
        walks = [(gait, walked(gait, frames)) for (gait, _), frames in zip(walks, wanted, strict=True)]
    except RuntimeError as error:
        print(f"{missing}: {error}", file=sys.stderr)
        return 3
    save(film_strip(walks), out, "strip", vector=False, dpi=170)
    film(walks, out / "gaits.gif")
    print(f"written to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
