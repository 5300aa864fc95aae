"""Controllers before and after 100 rollouts, and the returns of every method after as many.

    python -m policysearch.compare experiments/controllers/study.toml --out results/controllers/study
    python experiments/controllers/gallery.py --out results/controllers

The first command runs every method on every task. The second draws a picture per task of one held-out episode, the
same for the start, for Ziegler and Nichols' rules where they are defined and for what `auto` recommends at the end of
run 0 of that study, whatever its return; it is searched again here. Then:

    gains.csv           those controllers and the best known one: mean returns of the episodes of best_known.csv
    final_returns.csv   of every run, and of the start, the rules and the best known one on the run's own episodes
    decided.csv         the pairs of methods that the study distinguishes
    README.md           all of it; the words are in findings.md and gallery_sentences.py

final_returns.csv and decided.csv are read where the study's runs.csv and pairs.csv are not there.
"""

import argparse
import io
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from best_known import EPISODES, NEAR, RULES, SLOW, mean_returns, said, space_of
from gallery_sentences import BEST, DEFAULT, RULE, START, hits, sentences
from jaxtyping import Float
from PIL import Image

import policysearch
from policysearch.compare.run import report_key
from policysearch.compare.statistics import iqm
from policysearch.core import Array
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.runner import episode_seed
from policysearch.files import replacing, write_text
from policysearch.optimizers import OPTIMIZERS
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.search import Budget, generations, held_out
from policysearch.seeding import Key
from policysearch.simulators import cart_pole, motor, pendulum, quadrotor, tanks, thermal
from policysearch.space import Space
from policysearch.tasks import TASKS, Task, make_evaluator, make_problem

HERE = Path(__file__).parent
ROLLOUTS, SEED, RUN, TUNED = 100, 0, 0, "tuned"
LINES = {START: ("0.35", 1.2), RULE: (COLOURS[1], 1.2), TUNED: (COLOURS[0], 1.6)}  # colour and width
SHADES, DPI = (1.0, 0.65, 0.3), 90  # of every colour in a picture; dots per inch
PACKAGES = ("numpy", "numba", "gymnasium", "cma")  # on which the numbers depend
BEST_KNOWN = pd.read_csv(HERE / "best_known.csv", index_col="task")


@dataclass(frozen=True, eq=False)
class Episode:
    """What a controller saw, did and was paid."""

    obs: Float[Array, "T+1 o"]
    actions: Float[Array, "T a"]  # as the plant got them
    rewards: Float[Array, "T"]
    places: Float[Array, "T+1 2"]  # m, x and y; NaN where the environment does not say


Curve = Callable[[Episode], Array]


def seen(i: int) -> Curve:
    """The i-th observation."""
    return lambda episode: episode.obs[:, i]


def done(i: int) -> Curve:
    """The i-th action."""
    return lambda episode: episode.actions[:, i]


def place(i: int) -> Curve:
    """How far the body has come."""
    return lambda episode: episode.places[:, i] - episode.places[0, i]


def zero(episode: Episode) -> Array:
    """Where regulators should be."""
    return np.zeros(len(episode.obs))


def rod_angle(episode: Episode) -> Array:
    """The pendulum's angle from upright, with a gap where it goes from π to −π."""
    angle = np.arctan2(episode.obs[:, 1], episode.obs[:, 0])
    angle[1:][np.abs(np.diff(angle)) > np.pi] = np.nan
    return angle


@dataclass(frozen=True)
class Panel:
    """Axes: y over time, or over x."""

    y_label: str
    y: Curve
    x_label: str = "time, s"
    x: Curve | None = None
    aim: Curve | None = None  # where y should be
    seconds: float = np.inf  # how much of the episode is shown


@dataclass(frozen=True)
class Shown:
    """How a task is shown."""

    dt: float  # s
    unit: str  # of the return
    panels: tuple[Panel, ...]


def step_response(dt: float, unit: str, output: str, actuator: str) -> Shown:
    """A plant whose set point and measurement are observed."""
    return Shown(dt, unit, (Panel(output, seen(1), aim=seen(0)), Panel(actuator, done(0))))


SHOWN: Mapping[str, Shown] = {
    "motor-pid": step_response(motor.DT, "rad·s²", "encoder, rad", "voltage, V"),
    "thermal-pid": step_response(thermal.DT, "°C·min²", "thermometer, °C", "heater, %"),
    "tanks-pid": step_response(tanks.DT, "cm²·s", "level of the lower tank, cm", "pump, V"),
    "quadrotor-cascade": Shown(quadrotor.DT, "m²·s", (
        Panel("height above the target, m", seen(1), "x from the target, m", seen(0), zero),
        Panel("x from the target, m", seen(0), aim=zero),
        Panel("height above the target, m", seen(1), aim=zero),
    )),
    "cart-pole-lqr": Shown(cart_pole.DT, "", (
        Panel("position of the cart, m", seen(0), aim=zero),
        Panel("angle of the pole, rad", seen(2), aim=zero),
        Panel("speed of the angle, rad/s", seen(3), "angle of the pole, rad", seen(2), zero),
    )),
    "pendulum-swing-up": Shown(pendulum.DT, "", (
        Panel("speed, rad/s", seen(2), "angle from upright, rad", rod_angle, zero),
        Panel("angle from upright, rad", rod_angle, aim=zero),
        Panel("torque, N·m", done(0)),
    )),
    "swimmer-cpg": Shown(0.04, "", (
        Panel("y, m", place(1), "x, m", place(0)),
        Panel("angle of the first joint, rad", seen(1), seconds=10.0),
        Panel("angle of the second joint, rad", seen(2), seconds=10.0),
    )),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------- the controllers


def heard(text: str) -> dict[str, float]:
    """The values by name of what `said` has written."""
    parts = (part.partition(" = ") for part in text.split("; "))
    return {name: float(rest.split()[0]) for name, _, rest in parts}


def tuned(task: Task) -> tuple[Array, int]:
    """What the default of `tune` recommends at the end of the study's run 0, and the rollouts that it took."""
    problem = make_problem(
        task, OPTIMIZERS[DEFAULT](), whitened=False, seed=SEED, run=RUN, evaluator="compiled"
    )
    found, spent = problem.domain.start, 0
    for generation in generations(
        problem.optimizer, problem.evaluator, problem.domain,
        budget=Budget(ROLLOUTS), seed=SEED, problem=(task.name, RUN), label=DEFAULT,
    ):  # fmt: skip
        found, spent = generation.recommendation, generation.rollouts
    problem.evaluator.close()
    return found, spent


def known(task: Task) -> dict[str, Array]:
    """The controllers that no search of ours was needed for: start, rule and best known."""
    space, best = space_of(task), BEST_KNOWN.loc[task.name]
    rule = {RULE: space.encode(np.array(RULES[task.name]))} if task.name in RULES else {}
    return {START: space.domain.start} | rule | {BEST: space.of_names(heard(str(best["parameters"])))}


def gains(task: Task, controllers: Mapping[str, Array], spent: int) -> pd.DataFrame:
    """A row per controller: what it took, what it returns on the episodes of best_known.csv, and its parameters."""
    rollouts = {TUNED: spent, BEST: int(BEST_KNOWN["rollouts"][task.name])}
    space, returns = space_of(task), mean_returns(task, np.array([*controllers.values()]))
    return pd.DataFrame(
        {"task": task.name, "controller": name, "rollouts": rollouts.get(name, 0), "mean_return": mean}
        | {"parameters": said(space, params)}
        for (name, params), mean in zip(controllers.items(), returns, strict=True)
    )


# --------------------------------------------------------------------------------------------------- the pictures


def episode(task: Task, params: Array, key: Key) -> Episode:
    """The first episode of that key, as every evaluator runs it, in the task's own environment."""
    env, policy = task.make_env(), task.make_policy()
    act = Interface(env.observation_space, env.action_space).row_actor()
    state, over = np.zeros((1, policy.state_size)), False
    obs, info = env.reset(seed=episode_seed(key, 0, 0, common=task.common_random_numbers))
    observed, actions, rewards, places = [obs], list[Array](), list[float](), [where(info)]
    while not over:
        wanted, state = policy.act(params[None], np.array(obs, dtype=float)[None], state)
        action, _ = act(wanted[0])
        obs, reward, terminated, truncated, info = env.step(action)
        observed.append(obs)
        actions.append(action)
        rewards.append(float(reward))
        places.append(where(info))
        over = terminated or truncated
    env.close()
    return Episode(np.array(observed, dtype=float), np.array(actions), np.array(rewards), np.array(places))


def where(info: Mapping[str, Any]) -> tuple[float, float]:
    """x and y in m, where the environment says so."""
    return float(info.get("x_position", np.nan)), float(info.get("y_position", np.nan))


def draw(axis: Any, panel: Panel, dt: float, episodes: Mapping[str, Episode]) -> None:
    """One panel: a line per controller, and the aim, which is the same for all."""
    for name, one in episodes.items():
        y = panel.y(one)
        x = dt * np.arange(len(y)) if panel.x is None else panel.x(one)
        steps = 1 + int(min(panel.seconds / dt, len(y)))
        colour, width = LINES[name]
        style = "steps-post" if len(y) == len(one.actions) else "default"
        label = f"{name}, return {short(one.rewards.sum())}"
        axis.plot(x[:steps], y[:steps], color=colour, lw=width, drawstyle=style, label=label)
    if panel.aim is not None:
        aim = panel.aim(episodes[START])
        if panel.x is None:
            axis.plot(dt * np.arange(len(aim)), aim, "k:", lw=1.0, label="set point")
        else:
            axis.plot(0.0, aim[0], "k+", ms=9, label="target")
    axis.set(xlabel=panel.x_label, ylabel=panel.y_label)


def picture(shown: Shown, episodes: Mapping[str, Episode], path: Path) -> None:
    """All panels of a task, as a PNG of few colours."""
    size, drawn = len(shown.panels), io.BytesIO()
    with figure_of(1, size, max(3.0 * size, 7.8), 2.7) as (figure, (axes,)):
        for axis, panel in zip(axes, shown.panels, strict=True):
            draw(axis, panel, shown.dt, episodes)
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False
        )
        figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    few_colours(drawn, path)


def few_colours(drawn: io.BytesIO | Path, path: Path) -> None:
    """A PNG of white and shades of `COLOURS`, which is a fraction as large."""
    colours = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS])
    shades = [255 - (255 - colours) * shade for shade in (0.0, *SHADES)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint(np.concatenate(shades)).astype(int).ravel().tolist())
    with Image.open(drawn) as image:
        few = image.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    with replacing(path) as partial:
        few.save(partial, format="PNG", optimize=True)


# ---------------------------------------------------------------------------------------------------- the methods


def on_report_episodes(study: Path, task: Task, runs: int) -> dict[str, Array]:
    """Mean returns of start, rule and best known on the episodes on which each run of a study was reported."""
    settings = tomllib.loads((study / "study.toml").read_text(encoding="utf-8"))
    seed, episodes, controllers = settings["seed"], settings["report_episodes"], known(task)
    evaluator = make_evaluator(task, task.make_policy(), kind="compiled")
    params = np.array([*controllers.values()])
    returns = [
        evaluator.evaluate(held_out(params, episodes), report_key(seed, task.name, run)).returns.mean(axis=1)
        for run in range(runs)
    ]
    evaluator.close()
    return dict(zip(controllers, np.transpose(returns), strict=True))


def final_returns(study: Path, kept: Path) -> pd.DataFrame:
    """Mean returns on the report episodes of each run (column): of every method at its end, and of `known`."""
    if (study / "runs.csv").exists():
        runs = pd.read_csv(study / "runs.csv").rename(columns={"optimizer": "method"})
        ends = runs.set_index(["task", "method", "run"])["final_return"].unstack(sort=False)
        others = {
            (name, controller): pd.Series(returns, ends.columns)
            for name in ends.index.unique("task")
            for controller, returns in on_report_episodes(study, TASKS[name], ends.shape[1]).items()
        }
        table = pd.concat([ends, pd.DataFrame(others).T.rename_axis(["task", "method"])])
        table.to_csv(kept, float_format="%.6g", lineterminator="\n")
    return pd.read_csv(kept, index_col=["task", "method"])


def decided_pairs(study: Path, kept: Path) -> pd.DataFrame:
    """The pairs of methods that the study distinguishes on a task, the better one first."""
    if (study / "pairs.csv").exists():
        pairs = pd.read_csv(study / "pairs.csv").dropna(subset="better")
        worse = pairs["x"].where(pairs["x"] != pairs["better"], pairs["y"])
        table = pairs.assign(worse=worse)[["task", "better", "worse", "p_joint"]]
        table.to_csv(kept, index=False, float_format="%.4g", lineterminator="\n")
    return pd.read_csv(kept)


def below(returns: Array, other: Array) -> str:
    """The runs that end worse than another controller on the same episodes, or without a result."""
    runs = np.flatnonzero(~(returns >= other))
    return f"all {len(returns)}" if len(runs) == len(returns) else ", ".join(map(str, runs)) or "none"


def methods_table(ends: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Every method on one task, and the known controllers on the same episodes, from best to worst."""
    others = [name for name in (RULE, START) if name in ends.index]
    header = ["method", "final return, IQM (95 %)", f"within {NEAR:.0%} of the best known".replace("%", " %")]
    header += [f"runs worse than the {'start' if name == START else 'rule'}" for name in others]
    rows = []
    for method in ends.index:
        returns = ends.loc[method].to_numpy()
        middle, cells = float(iqm(returns)), [""] * (1 + len(others))
        label, value = f"*{method}*", short(middle)
        if method in summary.index:
            low, high = (summary[column][method] for column in ("ci_low", "ci_high"))
            label, value = f"`{method}`", f"{value} ({short(low)} … {short(high)})"
            cells = [f"{hits(ends, method)} of {len(returns)}"]
            cells += [below(returns, ends.loc[name].to_numpy()) for name in others]
        rows.append((middle, [label, value, *cells]))
    rows.sort(key=lambda row: -row[0])
    return markdown(header, [row for _, row in rows])


def overview(ends: pd.DataFrame, methods: list[str]) -> str:
    """How many runs of each method end within 5 % of the best known, on every task."""
    tasks = list(ends.index.unique("task"))
    count = {(method, task): hits(ends.loc[task], method) for method in methods for task in tasks}
    total = {method: sum(count[method, task] for task in tasks) for method in methods}
    rows = [
        [f"`{method}`", *(str(count[method, task]) for task in tasks), str(total[method])]
        for method in sorted(methods, key=lambda method: -total[method])
    ]
    return markdown(["method", *tasks, f"of {ends.shape[1] * len(tasks)}"], rows)


def losses(ends: pd.DataFrame, methods: list[str], other: str) -> str:
    """How many runs of which methods end worse than another controller, where that one is in the table."""
    lines = []
    for task, of_task in ends.groupby("task", sort=False):
        table = of_task.droplevel("task")
        if other not in table.index:
            continue
        worse = (~(table.loc[methods] >= table.loc[other])).sum(axis=1)
        named = ", ".join(f"`{method}` {count}" for method, count in worse[worse > 0].items())
        lines.append(f"- **{task}**, {worse.sum()} of {table.loc[methods].size} runs: {named or 'none'}")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------- the page


def short(value: float) -> str:
    """A number in as many digits as people read."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def gains_table(rows: pd.DataFrame, space: Space, unit: str) -> str:
    """Controllers side by side, with what they return and what they took."""
    values = [heard(text) for text in rows["parameters"]]
    lines = [
        [f"{p.name}, {p.unit}".removesuffix(", "), *(f"{of[p.name]:.4g}" for of in values)]
        for p in space.parameters
    ]
    returned = f"mean return, {unit}".removesuffix(", ")
    lines.append([returned, *(f"**{short(value)}**" for value in rows["mean_return"])])
    lines.append(["rollouts", *(f"{spent:,}" for spent in rows["rollouts"])])
    return markdown(["", *rows["controller"]], lines)


def main() -> None:
    """Search, draw and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=HERE.parent.parent / "results/controllers", metavar="DIR",
        help="where everything goes; the study is expected in DIR/study (default: results/controllers)",
    )  # fmt: skip
    out = parser.parse_args().out
    study, kept = out / "study", out / "final_returns.csv"
    if missing := [path for path in (study / "summary.csv", study / "study.toml") if not path.exists()]:
        parser.error(f"expected {' and '.join(map(str, missing))}; run the first command of --help before")
    summary = pd.read_csv(study / "summary.csv", index_col=["task", "optimizer"])
    if unknown := set(summary.index.unique("task")) - (SHOWN.keys() & set(BEST_KNOWN.index)):
        parser.error(
            f"expected tasks of SHOWN and best_known.csv, got {', '.join(unknown)}; run best_known.py"
        )
    ends, decided = final_returns(study, kept), decided_pairs(study, out / "decided.csv")
    sections, tables = list[str](), list[pd.DataFrame]()
    for name in ends.index.unique("task"):
        episodes, _ = SLOW.get(name, (EPISODES, 0))
        print(f"{name}: searching, then {episodes:,} episodes of each controller", file=sys.stderr)
        task, shown = TASKS[name], SHOWN[name]
        found, spent = tuned(task)
        controllers = known(task) | {TUNED: found}
        ordered = {key: controllers[key] for key in (START, RULE, TUNED, BEST) if key in controllers}
        drawn = {key: episode(task, ordered[key], ("gallery", name)) for key in LINES if key in ordered}
        picture(shown, drawn, out / f"{name}.png")
        tables.append(gains(task, ordered, spent))
        parts = [f"## {name}", f"![{name}, before and after]({name}.png)"]
        parts.append(gains_table(tables[-1], space_of(task), shown.unit))
        sections.append("\n\n".join([*parts, methods_table(ends.loc[name], summary.loc[name])]))
    few_colours(study / "curves.png", study / "curves.png")
    pd.concat(tables).to_csv(out / "gains.csv", index=False, float_format="%.6g", lineterminator="\n")
    methods = list(summary.index.unique("optimizer"))
    made_with = {"policysearch": policysearch.__version__} | {name: version(name) for name in PACKAGES}
    page = (HERE / "findings.md").read_text(encoding="utf-8").format(
        overview=overview(ends, methods), sections="\n\n".join(sections), runs=ends.shape[1],
        below_rule=losses(ends, methods, RULE), below_start=losses(ends, methods, START),
        versions=", ".join(f"{name} {number}" for name, number in made_with.items()),
        **sentences(ends, methods, decided),
    )  # fmt: skip
    write_text(out / "README.md", page)


if __name__ == "__main__":
    main()
