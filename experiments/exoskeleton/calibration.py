"""The published results to which the simulated walker was calibrated, and those of the simulation.

    python experiments/exoskeleton/calibration.py --out results/exoskeleton

How much the generic law and the best ones help, and how fast people learn; the noise of an estimate from a few
minutes of breaths, its bias for people with another time constant, and how often it orders two laws rightly; and what
makes a law better, from rankings of laws, and the same regression on published rankings. Nothing here sets a
constant of the walker. Writes calibration.csv and calibration.md, in half a minute on one core.
"""

import dataclasses
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tyro
from jaxtyping import Float
from scipy.special import expit
from scipy.stats import norm

from policysearch.core import Array
from policysearch.exoskeleton.human import (
    LEARNING,
    Law,
    Levels,
    Participant,
    State,
    Walker,
    adapted_after,
    draw_participant,
)
from policysearch.exoskeleton.respirometry import Breaths, decay, fit, mean_of_last
from policysearch.exoskeleton.torque_law import GENERIC
from policysearch.exoskeleton.torque_profile import SPACE, TorqueProfile, project
from policysearch.optimizers import CMAES
from policysearch.provenance import environment
from policysearch.search import AskTell
from policysearch.seeding import stream

PUBLISHED, INFERRED, CHOICE, FOLLOWS = "published", "inferred", "choice", "follows"
P_AND_C = "Poggensee & Collins 2021"
OWN, SLADE = "computed from the formulas", "rankings of Slade et al. 2022"
WORTH, SD = "What laws are worth", "Standard deviation of an estimate, in % of the net rate"
ORDER = "Two laws ordered rightly by one two-minute estimate each"
RATIO = "Standard deviation of an estimate / that of a breath"
BIAS = "Bias of a two-minute estimate, in % of the change of the rate"
#: Standing, used to the device, without drift, missed breaths and outliers.
CALM = Participant(a=1.0, aT=1.0, drift_sd=0.0, missed=0.0, outliers=0.0)
NO_TORQUE = (0.0, *GENERIC[1:])
BOUT = 120.0  # s

#: sd of the estimate / sd of a breath for breaths every 2.5, 3, 3.5 and 4 s, by length of the bout in s.
PERIODS = (2.5, 3.0, 3.5, 4.0)
RATIOS = {
    60.0: (0.544, 0.596, 0.651, 0.689),
    90.0: (0.325, 0.356, 0.398, 0.423),
    120.0: (0.235, 0.258, 0.281, 0.298),
    180.0: (0.160, 0.175, 0.190, 0.202),
    360.0: (0.095, 0.104, 0.113, 0.120),
}
#: Bias in % of the change for people with time constants of so many s; sd of two-minute estimates in % by length
#: of the bout in s; how often in % two laws are ordered rightly that differ by so many points.
BIASES = {
    (30.0, "exact design"): 7.6,
    (36.0, "exact design"): 4.0,
    (42.0, "exact design"): 0.0,
    (48.0, "exact design"): -4.1,
    (54.0, "exact design"): -8.1,
    (66.0, "exact design"): -15.6,
    (42.0, "Euler design"): -1.0,
    (42.0, "mean of the last minute"): -12.3,
}
NOISE = {60.0: 10.7, 120.0: 4.6, 180.0: 3.1, 360.0: 1.9}
ORDERED = {1: 56, 2: 62, 3: 68, 5: 78, 8: 89, 10: 94}

#: What makes a law better, in logits: coefficients of a logistic regression on pairs of laws, with standard errors
#: from a bootstrap over generations, computed from 3464 pairs of the rankings that Slade et al. 2022 released.
EFFECTS = {
    "peak time, per +2 %": (0.725, 0.071),
    "peak time, curvature per (2 %)²": (-0.014, 0.017),
    "torque, per +0.1 N·m/kg around 0.55": (0.186, 0.059),
    "torque, curvature per (0.1 N·m/kg)²": (-0.055, 0.028),
    "rise time, per +3 %": (-0.052, 0.028),
    "fall time, per +1.5 %": (0.302, 0.042),
    "torque × peak time": (0.058, 0.027),
}
ORDERED_RIGHTLY, ACCURACY, FOLDS = "ordered rightly, %", 71.8, 10  # of the pairs left out of a fit
LAWS, COMPARED = 8, 7  # laws of a generation, and how many of the first ones are compared
GENERATIONS, PEOPLE, PER_SESSION, NIGHT = 185, 10, 4, 86_400.0
#: Of the sd within a published generation, the 10, 50 and 90 % quantiles: N·m/kg, % stride.
QUANTILES = (10, 50, 90)
SPREAD = {
    "peak torque": (0.029, 0.072, 0.136),
    "peak time": (0.71, 2.41, 4.41),
    "rise time": (1.74, 5.00, 8.43),
    "fall time": (0.45, 1.82, 3.12),
}


class Design(NamedTuple):
    """Where the laws that people walk under come from."""

    words: str
    start: tuple[float, ...] | None = None  # of the search; None: the centre of the ranges
    sigma: float = 0.3  # of a range; 0: no search, laws are drawn around `start` with the published spread
    anew: bool = False  # the search begins again every session


DESIGNS = (
    Design("from the centre, σ 0.3"),
    Design("from the centre, σ 0.2", sigma=0.2),
    Design("from the generic law, σ 0.3", GENERIC),
    Design("from the generic law, σ 0.2", GENERIC, sigma=0.2),
    Design("from the generic law, σ 0.2, anew every session", GENERIC, sigma=0.2, anew=True),
    Design("no search: drawn around the generic law", GENERIC, sigma=0.0),
)


LEAST = {"people": 2, "bouts": 4, "data_sets": 2, "resamples": 2, "generations": 30}


@dataclass(frozen=True)
class Arguments:
    """How much is simulated."""

    out: Path
    """Folder for calibration.csv and calibration.md."""

    seed: int = 0
    """Of everything random."""

    people: int = 10_000
    """Of which effects of laws are averaged."""

    bouts: int = 3000
    """Per number on noise and bias."""

    data_sets: int = 10
    """Sets of rankings per way of getting them, each as large as the published one."""

    resamples: int = 200
    """Of the bootstrap over generations."""

    generations: int = GENERATIONS
    """Of a set of rankings."""

    def __post_init__(self) -> None:
        few = [name for name, least in LEAST.items() if getattr(self, name) < least]
        if few:
            raise ValueError(f"{few[0]}: expected at least {LEAST[few[0]]}, got {getattr(self, few[0])}")


class Row(NamedTuple):
    """One number of the calibration."""

    section: str
    quantity: str
    unit: str
    target: float = math.nan
    target_error: float = math.nan  # standard error
    closed_form: float = math.nan
    simulated: float = math.nan
    error: float = math.nan  # standard error; of rankings, the standard deviation of sets of them
    kind: str = INFERRED
    source: str = OWN


def averaged(values: Array) -> dict[str, Any]:
    """Mean and standard error, as a row has them."""
    return {"simulated": float(values.mean()), "error": float(values.std(ddof=1)) / math.sqrt(values.size)}


def spread(values: Array) -> dict[str, Any]:
    """Standard deviation and its standard error (of normal values), as a row has them."""
    sd = float(values.std(ddof=1))
    return {"simulated": sd, "error": sd / math.sqrt(2.0 * values.size)}


# ------------------------------------------------------------------------------------------- what laws are worth


def crowd(preset: str, arguments: Arguments) -> list[Walker]:
    """People of a preset."""
    rng = stream(arguments.seed, "calibration", "people", preset)
    return [Walker.start(draw_participant(rng, preset), rng) for _ in range(arguments.people)]


def generic(one: Walker, levels: Levels) -> Law:
    """The law that is the same for all people."""
    return GENERIC


def reductions(people: list[Walker], law: Callable[[Walker, Levels], Law], levels: Levels) -> Array:
    """True reductions in %, of people at these levels of adaptation, each under their own law."""
    return 100.0 * np.array([one.true_reduction(law(one, levels), levels) for one in people])


def landscape(arguments: Arguments) -> Iterator[Row]:
    """Effects of laws, and the time that learning takes."""
    novice, expert, hour = (0.0, 0.0), (1.0, 1.0), adapted_after(64.0)
    people, best = crowd("expert", arguments), Walker.best_law
    for name, target, law, levels in (
        ("generic law, experts", 31.0, generic, expert),
        ("generic law, novices", 10.0, generic, novice),
        ("best feasible law, experts", 39.0, best, expert),
    ):
        got = averaged(reductions(people, law, levels))
        yield Row(WORTH, name, "%", target, **got, kind=PUBLISHED, source=P_AND_C)
    minutes = -LEARNING * math.log(0.05)
    name = "assisted walking until 95 % adapted"
    yield Row(WORTH, name, "min", 109.0, closed_form=minutes, kind=PUBLISHED, source=P_AND_C)
    people, who = crowd("zhang2017", arguments), "one ankle (zhang2017)"
    values = reductions(people, best, hour)
    near = "fixed before any search; published: 24.2 ± 7.4 (Zhang et al. 2017)"
    name = f"{who}, after 64 min: best feasible law"
    yield Row(WORTH, name, "%", 27.0, **averaged(values), kind=CHOICE, source=near)
    yield Row(WORTH, f"{name}, sd of people", "%", 7.0, **spread(values), kind=CHOICE, source=near)
    for name, law, levels in (
        ("after 64 min: generic law", generic, hour),
        ("fully adapted: best feasible law", best, expert),
    ):
        got = averaged(reductions(people, law, levels))
        yield Row(WORTH, f"{who}, {name}", "%", **got, kind=FOLLOWS, source="")


# ------------------------------------------------------------------------------------------------- the estimator


def breath_times(seconds: float, period: float) -> Array:
    """Moments of equally spaced breaths, in s."""
    return period * np.arange(1.0, math.floor(seconds / period + 1e-9) + 1.0)


def ratio(seconds: float, period: float) -> float:
    """sd of the estimate / sd of a breath, exact design."""
    e = decay(breath_times(seconds, period), design="exact")
    return math.sqrt(1.0 / e.size + e.mean() ** 2 / ((e - e.mean()) ** 2).sum())


def ratios(arguments: Arguments) -> Iterator[Row]:
    """The table of standard deviations, from the design and from estimates of noise."""
    rng = stream(arguments.seed, "calibration", "ratios")
    for seconds, targets in RATIOS.items():
        for period, target in zip(PERIODS, targets, strict=True):
            time = breath_times(seconds, period)
            noise = rng.standard_normal((arguments.bouts, time.size))
            rates = np.array([fit(Breaths(time, 10.0 + row), design="exact").rate for row in noise])
            name = f"{seconds:g} s, a breath every {period:g} s"
            yield Row(RATIO, name, "", target, closed_form=ratio(seconds, period), **spread(rates))


def bouts(person: Participant, seconds: float, y: float, arguments: Arguments) -> list[Breaths]:
    """Bouts without torque; y is the rate at the mouth at their beginning: 0 standing, 1 walking."""
    rng = stream(arguments.seed, "calibration", "bouts", f"{seconds:g}", f"{person.tau:g}", f"{y:g}")
    start = State(0.0, y, 1.0, 1.0, 0.0)
    return [Walker(person, start).walk(NO_TORQUE, seconds, rng) for _ in range(arguments.bouts)]


def percent(rates: list[float]) -> Array:
    """Net rates in % of that without torque."""
    return 100.0 * (np.array(rates) - CALM.standing_rate) / CALM.net_rate


def biases(arguments: Arguments) -> Iterator[Row]:
    """What another time constant does to an estimate, where standing changes to walking."""
    time = breath_times(BOUT, 3.0)
    ways: dict[str, Callable[[Breaths], float]] = {
        "exact design": lambda breaths: fit(breaths, design="exact").rate,
        "Euler design": lambda breaths: fit(breaths, design="euler").rate,
        "mean of the last minute": lambda breaths: mean_of_last(breaths, 60.0).rate,
    }
    for (tau, way), target in BIASES.items():
        walked = bouts(CALM._replace(tau=tau), BOUT, 0.0, arguments)
        closed = 100.0 * (ways[way](Breaths(time, 3.0 - np.exp(-time / tau))) - 3.0)
        got = averaged(percent([ways[way](breaths) for breaths in walked]) - 100.0)
        yield Row(BIAS, f"τ = {tau:g} s, {way}", "%", target, closed_form=closed, **got)


def noise(arguments: Arguments) -> Iterator[Row]:
    """Noise of estimates in % of the rate, and how often they order two laws rightly."""
    walked = {seconds: bouts(CALM, seconds, 1.0, arguments) for seconds in NOISE}
    seen = {
        seconds: percent([fit(each, design="exact").rate for each in walked[seconds]]) for seconds in NOISE
    }
    for seconds, target in NOISE.items():
        closed = 100.0 * CALM.breath_sd * ratio(seconds, 3.0)
        row = Row(SD, f"{seconds:g} s", "%", target, closed_form=closed, **spread(seen[seconds]))
        yield (
            row._replace(kind=PUBLISHED, source="Kutulakos & Slade 2024, quoted") if seconds == BOUT else row
        )
    rng, rates = stream(arguments.seed, "calibration", "drift"), []
    for _ in range(arguments.bouts):
        one = Walker.start(Participant(a=1.0, aT=1.0), rng)
        one.state = one.state._replace(y=1.0 + one.state.drift)
        rates.append(fit(one.walk(NO_TORQUE, BOUT, rng)).rate)
    name = f"{BOUT:g} s, Euler design as published; with missed breaths, outliers and drift"
    yield Row(SD, name, "%", **spread(percent(rates)), kind=FOLLOWS, source="")
    first, second = np.array_split(seen[BOUT], 2)
    for points, target in ORDERED.items():
        right = averaged(100.0 * (first[: second.size] < second + points))
        closed = 100.0 * float(norm.cdf(points / (NOISE[BOUT] * math.sqrt(2.0))))
        yield Row(ORDER, f"true difference {points} %", "%", target, closed_form=closed, **right)


# --------------------------------------------------------------------------------------------- rankings of laws


def rankings(
    design: Design, generations: int, seed: int, k: int
) -> tuple[Float[Array, "g 8 4"], Float[Array, "g 8"]]:
    """The laws of the k-th set of generations, and the rates estimated under them, W/kg."""
    policy, domain, sd = TorqueProfile(), SPACE.domain, [row[1] for row in SPREAD.values()]
    if design.start:
        domain = dataclasses.replace(domain, start=SPACE.encode(np.array(design.start)))
    laws, rates = [], []
    for i in range(PEOPLE):
        rng = stream(seed, "calibration", "rankings", k, i)  # the same people for every design
        one = Walker.start(draw_participant(rng, "novice"), rng)
        for generation in range(len(range(i, generations, PEOPLE))):
            if generation % PER_SESSION == 0:
                one.rest(NIGHT, rng)
            if design.sigma and (generation == 0 or (design.anew and generation % PER_SESSION == 0)):
                cma_es = CMAES(sigma=design.sigma, population_size=LAWS)
                search = AskTell(cma_es, domain, seed, "calibration", "rankings", k, i, generation)
            if design.sigma:
                laws.append(policy.law(search.ask().params))
            else:
                laws.append(project(np.array(design.start) + sd * rng.standard_normal((LAWS, 4))))
            rates.append(np.array([fit(one.walk(law, BOUT, rng)).rate for law in laws[-1]]))
            if design.sigma:
                search.tell(-rates[-1])
    return np.array(laws), np.array(rates)


def effects(laws: Float[Array, "*n 4"]) -> Float[Array, "*n 7"]:
    """What the logit of a law is linear in, in the order of `EFFECTS`; peak times count from 50 %."""
    torque, peak = (laws[..., 0] - 0.55) / 0.1, (laws[..., 1] - 50.0) / 2.0
    rise, fall = laws[..., 2] / 3.0, laws[..., 3] / 1.5
    return np.stack([peak, peak**2, torque, torque**2, rise, fall, torque * peak], axis=-1)


def pairs(
    laws: Float[Array, "g n 4"], rates: Float[Array, "g n"]
) -> tuple[Float[Array, "g p 7"], Float[Array, "g p"]]:
    """Differences of effects between the first laws of a generation, i < j, and 1 where law i costs less."""
    i, j = np.triu_indices(COMPARED, 1)
    found = effects(laws)
    return found[:, i] - found[:, j], (rates[:, i] < rates[:, j]).astype(float)


def logit(X: Float[Array, "g p 7"], y: Float[Array, "g p"]) -> Float[Array, "7"]:
    """The coefficients of largest likelihood, P(y = 1) = 1/(1 + exp(−x·b)), by Newton's method.

    Raises:
        ValueError: if the pairs do not determine them.
    """
    rows, right = X.reshape(-1, X.shape[-1]), y.ravel()
    b = np.zeros(rows.shape[1])
    for _ in range(50):
        p = expit(rows @ b)
        step = np.linalg.solve(rows.T @ (rows * (p * (1.0 - p))[:, None]), rows.T @ (right - p))
        b = b + step
        if np.abs(step).max() < 1e-9:
            return b
    raise ValueError(f"logit: expected pairs that determine {b.size} effects, got {right.size} that do not")


def accuracy(X: Float[Array, "g p 7"], y: Float[Array, "g p"]) -> float:
    """Pairs ordered rightly, in %, each by a fit to the generations outside its tenth."""
    right, fold = np.empty(y.shape, dtype=bool), np.arange(len(X)) % FOLDS
    for k in range(FOLDS):
        b = logit(X[fold != k], y[fold != k])
        right[fold == k] = (X[fold == k] @ b > 0.0) == (y[fold == k] > 0.5)
    return 100.0 * float(right.mean())


def bootstrap(
    X: Float[Array, "g p 7"], y: Float[Array, "g p"], resamples: int, rng: np.random.Generator
) -> Float[Array, "7"]:
    """Standard errors of the effects, generations resampled."""
    picks = rng.integers(len(X), size=(resamples, len(X)))
    return np.asarray(np.std([logit(X[pick], y[pick]) for pick in picks], axis=0, ddof=1))


def regressions(arguments: Arguments) -> Iterator[Row]:
    """The published effects, and those in simulated rankings of every design."""
    for design in DESIGNS:
        sets = [
            rankings(design, arguments.generations, arguments.seed, k) for k in range(arguments.data_sets)
        ]
        compared = [pairs(laws, rates) for laws, rates in sets]
        found = np.array([[*logit(X, y), accuracy(X, y)] for X, y in compared])
        between = found.std(axis=0, ddof=1)
        targets = {**EFFECTS, ORDERED_RIGHTLY: (ACCURACY, math.nan)}
        for i, (name, (real, real_error)) in enumerate(targets.items()):
            unit, mean, sd = (
                "%" if name == ORDERED_RIGHTLY else "logit",
                float(found[:, i].mean()),
                between[i],
            )
            yield Row(
                design.words, name, unit, real, real_error, simulated=mean, error=float(sd), source=SLADE
            )
        spreads = np.concatenate([laws.std(axis=1, ddof=1) for laws, _ in sets])
        got = np.percentile(spreads, QUANTILES, axis=0).T
        for parameter, reals, values in zip(SPACE.parameters, SPREAD.values(), got, strict=True):
            for percentage, real, value in zip(QUANTILES, reals, values.tolist(), strict=True):
                name = f"sd of {parameter.name} within a generation, {percentage} %"
                yield Row(design.words, name, parameter.unit, real, simulated=value, source=SLADE)
        if design is DESIGNS[0]:
            rng = stream(arguments.seed, "calibration", "bootstrap")
            errors = bootstrap(*compared[0], arguments.resamples, rng)
            for (effect, (_, real)), error in zip(EFFECTS.items(), errors.tolist(), strict=True):
                name = f"{effect}: standard error, generations resampled"
                yield Row(design.words, name, "logit", real, simulated=error, source=SLADE)


# ------------------------------------------------------------------------------------------------------ the page

PAGE = """# What the simulated walker was calibrated to

Written by `{command}`
({versions}; seed {seed}). All numbers: [calibration.csv](calibration.csv).

A target is "published" (in the source that is named), "inferred" (computed from published data or formulas) or a
"choice" of the model; what "follows" has none. ± are standard errors. Reductions are in % of a person's net rate
without torque, and true: without noise and drift. Simulated breaths come at random intervals, but where their
interval is named.

{tables}

## What makes a law better

Slade et al. 2022 released rankings of eight laws in each of 185 generations, which participants of Poggensee &
Collins 2021 walked under. A logistic regression says which of two laws costs less, for all pairs of a generation's
first seven. The simulated rankings come from {people} people who share {generations} generations. They begin as
novices, as that study's participants did; a session has {per_session} generations of eight two-minute bouts, a night
is between sessions, and CMA-ES goes on, on the estimates, from where it stopped the day before. How many people there
were and how the real searches began is not known here. "{main_design}" is how Kutulakos & Slade 2024, as quoted in
a textbook, begin theirs, and how far apart the laws of a generation then are is close to the real data, but for the
torques (last table).
Peak times count from 50 % here; another zero would change the linear effects of torque and peak time only.

Simulated: mean of {data_sets} such sets of rankings ± their standard deviation. Real: ± a bootstrap over generations.
In brackets, the gap as a multiple of both errors together. No constant was changed because of a gap.

{main}

### How far that depends on where the laws come from

The same people, other searches:

{others}

What differs is where the laws lie and how far apart. Last, without any search: around the generic law, with the real
spread. Standard deviations within a generation, median (10 % … 90 %) of generations:

{spreads}
"""


def shown(value: float, error: float = math.nan) -> str:
    """The number for the page, with its error if it has one."""
    if math.isnan(value):
        return "–"
    digits = 3 if abs(value) < 0.9995 else 1
    text = f"{round(value, digits) + 0.0:.{digits}f}"  # no −0
    return text if math.isnan(error) else f"{text} ± {error:.{max(digits, 2)}f}"


def gap(row: Row) -> str:
    """How far the simulated number is from its target, in words."""
    z = (row.simulated - row.target) / math.hypot(np.nan_to_num(row.target_error), row.error)
    where = "higher" if z > 0.0 else "lower"
    words = "agrees" if abs(z) < 1.0 else where if abs(z) < 2.0 else f"clearly {where}"
    return f"{words} ({z:+.1f})"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(rows: list[Row], arguments: Arguments) -> str:
    """calibration.md."""
    sections: dict[str, list[Row]] = {}
    for row in rows:
        sections.setdefault(row.section, []).append(row)
    ranked = {design.words: sections.pop(design.words) for design in DESIGNS}
    tables = []
    for section, members in sections.items():
        header = ("", "target", "closed form", "simulated", "the target is", "source")
        numbers = [
            (shown(row.target), shown(row.closed_form), shown(row.simulated, row.error)) for row in members
        ]
        cells = [
            (row.quantity, *three, row.kind, row.source or "–")
            for row, three in zip(members, numbers, strict=True)
        ]
        tables.append(f"## {section}\n\n{markdown(header, cells)}")
    count = len(EFFECTS) + 1
    main = [
        (row.quantity, shown(row.target, row.target_error), shown(row.simulated, row.error), gap(row))
        for row in ranked[DESIGNS[0].words][:count]
    ]
    others = [["real", *(shown(real) for real, _ in EFFECTS.values()), shown(ACCURACY)]]
    others += [[words, *(shown(row.simulated) for row in found[:count])] for words, found in ranked.items()]
    spreads = [["real", *(quantiles(values) for values in SPREAD.values())]]
    for words, found in ranked.items():
        values = [row.simulated for row in found[count : count + 3 * len(SPREAD)]]
        spreads.append([words, *(quantiles(values[i : i + 3]) for i in range(0, len(values), 3))])
    known = environment()
    versions = [f"{name} {known[name]}" for name in ("policysearch", "numpy", "scipy", "numba", "cma")]
    return PAGE.format(
        command=shlex.join(["python", *sys.argv]),
        versions=", ".join([*versions, f"Python {known['python']}"]),
        seed=arguments.seed,
        tables="\n\n".join(tables),
        people=PEOPLE,
        generations=arguments.generations,
        per_session=PER_SESSION,
        data_sets=arguments.data_sets,
        main_design=DESIGNS[0].words,
        main=markdown(("", "real", "simulated", "gap"), main),
        others=markdown(["", *EFFECTS, ORDERED_RIGHTLY], others),
        spreads=markdown(["", *(f"{p.name}, {p.unit}" for p in SPACE.parameters)], spreads),
    )


def quantiles(values: Sequence[float]) -> str:
    """Median and range."""
    digits = 3 if values[1] < 0.5 else 1
    low, middle, high = (f"{value:.{digits}f}" for value in values)
    return f"{middle} ({low} … {high})"


def calibration(arguments: Arguments) -> list[Row]:
    """All rows, with a line of progress for every part."""
    rows: list[Row] = []
    for part in (landscape, noise, ratios, biases, regressions):
        print(f"{part.__name__} …", file=sys.stderr)
        rows += part(arguments)
    return rows


def main(arguments: Arguments) -> None:
    """Simulate and write."""
    rows = calibration(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(arguments.out / "calibration.csv", index=False, float_format="%.6g")
    text = page(rows, arguments)
    (arguments.out / "calibration.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
