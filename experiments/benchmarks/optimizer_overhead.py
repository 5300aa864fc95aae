"""What a method costs per candidate, without the rollouts: our methods and bare libraries.

    python experiments/benchmarks/optimizer_overhead.py --out results/benchmarks

Every optimizer of the registry that can search a function is driven over a 12-dimensional noisy sphere whose
values are computed in one vectorised call outside the clock. What is timed is the optimizer: from an
evaluation, its fitness included, to the next proposal; and, for comparison, the same step of bare `cma`
(ask, stop and tell, with the same generator and settings), of the package `cmaes`, and of SciPy's
Nelder–Mead (its whole run, its calls of the function taken off). The methods are timed alternately; the median
over the repeats is reported.
"""

import argparse
import itertools
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cma
import cmaes
import numpy as np
import pandas as pd
import scipy
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from policysearch.core import Array, Domain, Evaluation, Optimizer, needs_of
from policysearch.optimizers import OPTIMIZERS
from policysearch.seeding import stream

D = 12
#: Generations are timed until this many candidates have been proposed.
CANDIDATES = 3000


def noisy_sphere(params: Array, rng: np.random.Generator) -> Array:
    """−‖x − 1‖² plus noise, for every row."""
    return -np.sum((params - 1.0) ** 2, axis=1) + 0.01 * rng.standard_normal(len(params))


def ours(optimizer: Optimizer, seed: int, d: int = D, enough: int = CANDIDATES) -> float:
    """Seconds per candidate of one of our optimizers, in d dimensions, until there are enough candidates."""
    rng = stream(seed, "noise")
    search = optimizer.search(Domain.unbounded(np.zeros(d)), stream(seed, "search"))
    proposal, spent, candidates = next(search), 0.0, 0
    while candidates < enough:
        returns = noisy_sphere(proposal.params, rng)[:, None]
        evaluation = Evaluation(proposal.params, returns, np.ones(returns.shape, dtype=int))
        candidates += len(proposal.params)
        began = time.perf_counter()
        proposal = search.send(evaluation)
        spent += time.perf_counter() - began
    return spent / candidates


def bare_cma(seed: int) -> float:
    """Seconds per candidate of `cma` as its documentation uses it, with our generator."""
    rng, noise = stream(seed, "search"), stream(seed, "noise")
    options = {
        "randn": lambda *shape: rng.standard_normal(shape),
        "seed": np.nan,
        "verbose": -9,
        "verb_log": 0,
    }
    es = cma.CMAEvolutionStrategy(np.zeros(D), 0.3, options)
    spent, candidates = 0.0, 0
    solutions = es.ask()
    while candidates < CANDIDATES:
        fitness = noisy_sphere(np.array(solutions), noise)
        candidates += len(solutions)
        began = time.perf_counter()
        es.tell(solutions, (-fitness).tolist())
        es.stop()
        solutions = es.ask()
        spent += time.perf_counter() - began
    return spent / candidates


def bare_cmaes(seed: int) -> float:
    """Seconds per candidate of the package `cmaes`."""
    noise = stream(seed, "noise")
    optimizer = cmaes.CMA(mean=np.zeros(D), sigma=0.3, seed=seed)
    spent, candidates = 0.0, 0
    solutions = [optimizer.ask() for _ in range(optimizer.population_size)]
    while candidates < CANDIDATES:
        fitness = noisy_sphere(np.array(solutions), noise)
        candidates += len(solutions)
        began = time.perf_counter()
        optimizer.tell([(x, -f) for x, f in zip(solutions, fitness.tolist(), strict=True)])
        solutions = [optimizer.ask() for _ in range(optimizer.population_size)]
        spent += time.perf_counter() - began
    return spent / candidates


def bare_nelder_mead(seed: int) -> float:
    """Seconds per candidate of SciPy's Nelder–Mead."""
    noise, inside, calls = stream(seed, "noise"), 0.0, 0

    def cost(x: Array) -> float:
        nonlocal inside, calls
        began = time.perf_counter()
        value = -float(noisy_sphere(x[None], noise)[0])
        calls += 1
        inside += time.perf_counter() - began
        return value

    began = time.perf_counter()
    minimize(cost, np.zeros(D), method="Nelder-Mead", options={"maxfev": CANDIDATES, "xatol": 0, "fatol": 0})
    return (time.perf_counter() - began - inside) / calls


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="folder for optimizer_overhead.csv")
    arguments = parser.parse_args()
    methods: dict[str, Callable[[int], float]] = {
        name: lambda seed, cls=cls: ours(cls(), seed)  # type: ignore[misc]
        for name, cls in OPTIMIZERS.items()
        if not (needs_of(cls).scores or needs_of(cls).bounds)
    }
    methods |= {
        "cma (bare)": bare_cma,
        "cmaes (bare)": bare_cmaes,
        "scipy Nelder–Mead (bare)": bare_nelder_mead,
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    with threadpool_limits(1):
        for repeat, (name, method) in itertools.product(range(-1, arguments.repeats), methods.items()):
            measured = method(abs(repeat))
            if repeat >= 0:  # the first round warms up
                seconds[name].append(1e6 * measured)
    ratio = np.median(np.array(seconds["cma-es"]) / np.array(seconds["cma (bare)"]))
    table = pd.DataFrame(
        {
            "method": list(seconds),
            "us_per_candidate_median": [round(float(np.median(values)), 2) for values in seconds.values()],
            "us_per_candidate_min": [round(min(values), 2) for values in seconds.values()],
            "us_per_candidate_max": [round(max(values), 2) for values in seconds.values()],
            "repeats": arguments.repeats,
            "d": D,
        }
    )
    print(table.to_string(index=False))
    print(f"our cma-es / bare cma, median of the paired ratios: {ratio:.3f}")
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        path = arguments.out / "optimizer_overhead.csv"
        header = (
            f"# python experiments/benchmarks/optimizer_overhead.py --out {arguments.out}; "
            f"Python {platform.python_version()}, numpy {np.__version__}, cma {cma.__version__}, "
            f"cmaes {cmaes.__version__}, scipy {scipy.__version__}; {platform.machine()}\n"
            f"# our cma-es / bare cma, median of the paired ratios: {ratio:.3f}\n"
        )
        path.write_text(header + table.to_csv(index=False), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
