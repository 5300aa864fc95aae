"""The methods of the study by name: ours in both settings, configurations of ours, and peers."""

import dataclasses
import math
from typing import Any

from choice_peers import PEERS, Peer

from policysearch.core import Optimizer, needs_of, tunable_of
from policysearch.optimizers import OPTIMIZERS, build, not_installed, source_of
from policysearch.seeding import stream
from policysearch.tune.prepared import SIGMA

#: CMA-ES as `tune` configures it where every parameter is a bounded number; an earlier default of `tune`.
SMALL_STEPS = "cma-es of 0.1"
#: Gaussian processes, whose time grows with the cube of the rollouts, have at most so many.
PROCESSES, MAX_OF_PROCESSES = ("bayesian", "optuna GP"), 100


def ours() -> list[str]:
    """Our methods, those with a source that differs a second time, and CMA-ES with small steps."""
    sources = [f"source:{name}" for name, cls in OPTIMIZERS.items() if source_of(cls)]
    return [*OPTIMIZERS, *sources, SMALL_STEPS]


def configurations(count: int) -> list[str]:
    """`count` configurations of every method of ours that needs no scores and has ranges; #0 is the default."""
    names = [name for name, cls in OPTIMIZERS.items() if tunable_of(cls) and not needs_of(cls).scores]
    return [f"{name}#{i}" for i in range(count) for name in names if name not in PROCESSES]


def method(name: str, budget: int) -> Optimizer:
    """The configured method of that name.

    Raises:
        ValueError: for an unknown name.
        ImportError: if its package is not installed.
    """
    if name in PEERS:
        return dataclasses.replace(PEERS[name], budget=budget)
    if name == SMALL_STEPS:
        return build("cma-es", {"sigma": SIGMA})
    plain, _, number = name.removeprefix("source:").partition("#")
    options = drawn(plain, int(number)) if number else {}
    made = build(plain, options, "source" if name.startswith("source:") else None)
    if missing := not_installed(made):
        raise ImportError(f"{name} {missing}")
    return made


def knows_budget(name: str) -> bool:
    """Whether a method needs a search of its own for every budget."""
    return name in PEERS and PEERS[name].knows_budget


def drawn(name: str, number: int) -> dict[str, Any]:
    """Hyperparameters of a configuration, log-uniform in the method's ranges; none of configuration 0."""
    if number == 0:
        return {}
    cls, rng = OPTIMIZERS[name], stream("choosing a method", name, number)
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    options: dict[str, Any] = {}
    for field, (low, high) in tunable_of(cls).items():
        value = math.exp(rng.uniform(math.log(low), math.log(high)))
        options[field] = round(value) if isinstance(defaults[field], int) else float(f"{value:.3g}")
    for even in ("population_size",):  # of mirrored pairs
        if even in options:
            options[even] += options[even] % 2
    return options


__all__ = ["PEERS", "SMALL_STEPS", "Peer", "configurations", "drawn", "knows_budget", "method", "ours"]
