"""What methods cost with many parameters: ours, and the same methods of evosax, with equal populations.

    python experiments/benchmarks/large_dimensions.py --out results/benchmarks [--dimensions 1000 10000]

Seconds per candidate from an evaluation to the next proposal, medians; values are computed outside the clock. Ours
work in double precision. evosax is given its default, single precision, its `ask` and `tell` are compiled, and the
clock stops when their results are there. One thread each, in turn, after a first turn that compiles.

It needs evosax and JAX (0.3.2 and 0.10.2 were used), which are no dependencies, and the extra `cmaes`.
"""

import argparse
import importlib.metadata
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optimizer_overhead import ours
from threadpoolctl import threadpool_limits

from policysearch.core import Optimizer
from policysearch.optimizers import ARS, SNES, EvolutionStrategy, Genetic, HillClimbing, SeparableCMAES

POPULATION, GENERATIONS = 20, 20
METHODS: dict[str, tuple[Optimizer, str]] = {
    "genetic": (Genetic(population_size=POPULATION), "SimpleGA"),
    "snes": (SNES(population_size=POPULATION), "SNES"),
    "hill-climbing": (HillClimbing(neighbours=POPULATION), "HillClimbing"),
    "ars": (ARS(directions=POPULATION // 2), "ARS"),
    "evolution-strategy": (EvolutionStrategy(population_size=POPULATION), "Open_ES"),
    "sep-cma-es": (SeparableCMAES(population_size=POPULATION), "Sep_CMA_ES"),
}


def evosax(name: str, d: int) -> Callable[[], float]:
    """A turn of a method of evosax, which returns the seconds per candidate."""
    import jax  # noqa: PLC0415 - an installation of its own
    from evosax import algorithms  # noqa: PLC0415

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    made: Any = getattr(algorithms, name)(POPULATION, np.zeros(d, dtype=np.float32))
    params = made.default_params
    ask, tell = jax.jit(made.ask), jax.jit(made.tell)
    key = jax.random.key(0)
    points = np.zeros((POPULATION, d), dtype=np.float32)
    first = (
        made.init(key, points, points[:, 0], params)
        if name in POPULATIONS
        else made.init(key, points[0], params)
    )

    def turn() -> float:
        state, spent = first, 0.0
        population, state = ask(key, state, params)
        for keys in jax.random.split(key, (GENERATIONS, 2)):
            values = np.square(np.asarray(population) - 1.0).sum(axis=1)
            began = time.perf_counter()
            state, _ = tell(keys[0], population, values, state, params)
            population, state = ask(keys[1], state, params)
            population.block_until_ready()
            spent += time.perf_counter() - began
        return spent / GENERATIONS / POPULATION

    return turn


#: Methods of evosax that begin with a population and its values.
POPULATIONS = ("SimpleGA",)


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dimensions", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="folder for large_dimensions.csv")
    arguments = parser.parse_args()
    records = []
    for d, (name, (optimizer, peer)) in itertools.product(arguments.dimensions, METHODS.items()):
        theirs, measured = evosax(peer, d), []
        with threadpool_limits(1):
            for _ in range(arguments.repeats + 1):
                measured.append((1e6 * ours(optimizer, 0, d, POPULATION * GENERATIONS), 1e6 * theirs()))
        mine, his = np.array(measured[1:]).T
        records.append(
            {
                "method": name,
                "peer": f"evosax {peer}",
                "d": d,
                "us_per_candidate": round(float(np.median(mine)), 2),
                "us_per_candidate_of_peer": round(float(np.median(his)), 2),
                "times_peer": round(float(np.median(mine / his)), 2),
            }
        )
        print(pd.DataFrame(records[-1:]).to_string(index=False, header=len(records) == 1), flush=True)
    if arguments.out is not None:
        versions = ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "jax", "evosax")
        )
        path = arguments.out / "large_dimensions.csv"
        header = f"# python experiments/benchmarks/large_dimensions.py --out {arguments.out}; {versions}\n"
        path.write_text(header + pd.DataFrame(records).to_csv(index=False), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
