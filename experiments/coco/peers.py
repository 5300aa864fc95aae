"""Methods of this package and, for each, an implementation by others with the same settings.

A search is a function of the evaluator of points, the start, the seed and the budget; it runs until the budget is
spent, which the evaluator ends by raising `Spent`, or until it ends by itself. Functions are minimised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from policysearch.core import Array, Domain, Evaluation, Optimizer, Proposal
from policysearch.optimizers import ARS, CMAES, SNES, EvolutionStrategy, NelderMead
from policysearch.search import Budget, generations
from policysearch.seeding import Key

#: σ_0 of CMA-ES and SNES (the functions' optima lie in [−4, 4]^d), and settings of the others, for both sides.
SIGMA, EDGE, STEP, POPULATION = 2.0, 1.0, 0.1, 10


class Spent(Exception):  # noqa: N818 - not an error
    """The budget has been spent."""


Values = Callable[[Array], Array]
Search = Callable[[Values, Array, int], None]


@dataclass(frozen=True)
class Pair:
    """A method, its peer, and the package that the peer comes from."""

    method: str
    package: str
    ours: Search
    peer: Search


def ours(optimizer: Optimizer, domain: Callable[[Array], Domain] = Domain.unbounded) -> Search:
    """The search of a method of this package; `domain` makes what it searches of a start."""

    class Function:
        def __init__(self, values: Values) -> None:
            self.values = values

        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            returns = -self.values(proposal.params)[:, None]
            return Evaluation(proposal.params, returns, np.ones(returns.shape, dtype=int))

    def search(values: Values, start: Array, seed: int) -> None:
        for _ in generations(optimizer, Function(values), domain(start), budget=Budget(10**9), seed=seed):
            pass

    return search


def pycma(values: Values, start: Array, seed: int) -> None:
    """`cma` by its own loop, without bounds, with its default tolerances and population."""
    import cma  # noqa: PLC0415

    es = cma.CMAEvolutionStrategy(start, SIGMA, {"seed": seed + 1, "verbose": -9, "verb_log": 0})
    while not es.stop():
        points = es.ask()
        es.tell(points, values(np.array(points)).tolist())


def scipy_nelder_mead(values: Values, start: Array, seed: int) -> None:
    """SciPy's simplex from the same first simplex; it never ends by its tolerances."""
    from scipy.optimize import minimize  # noqa: PLC0415

    simplex = np.vstack([start, start + EDGE * np.eye(start.size)])
    options: Any = {"initial_simplex": simplex, "maxfev": 10**9, "maxiter": 10**9, "xatol": 0.0, "fatol": 0.0}
    found: Any = minimize
    found(lambda x: float(values(x[None])[0]), start, method="Nelder-Mead", options=options)


def evosax(name: str) -> Search:
    """A method of evosax, in double precision."""

    def search(values: Values, start: Array, seed: int) -> None:
        import jax  # noqa: PLC0415 - an installation of its own

        jax.config.update("jax_enable_x64", True)
        es, params = _evosax(name, start.size)
        key = jax.random.key(seed)
        state = es.init(key, start, params)
        while True:
            key, asking, telling = jax.random.split(key, 3)
            population, state = es.ask(asking, state, params)
            state, _ = es.tell(telling, population, values(np.asarray(population)), state, params)

    return search


_MADE: dict[tuple[str, int], tuple[Any, Any]] = {}


def _evosax(name: str, d: int) -> tuple[Any, Any]:
    """A method and its settings, made once, as they are compiled for every new object."""
    if (name, d) not in _MADE:
        import optax  # noqa: PLC0415
        from evosax import algorithms  # noqa: PLC0415

        solution, constant = np.zeros(d), optax.constant_schedule(SIGMA / 4)
        made: Any
        if name == "snes":
            made = algorithms.SNES(4 + int(3 * np.log(d)), solution)
        elif name == "evolution-strategy":
            made = algorithms.Open_ES(POPULATION, solution, optimizer=optax.adam(STEP), std_schedule=constant)
        else:
            made = algorithms.ARS(POPULATION, solution, optimizer=optax.sgd(STEP), std_schedule=constant)
            made.elite_ratio = 1.0
        params = made.default_params
        _MADE[name, d] = made, params.replace(std_init=SIGMA) if name == "snes" else params
    return _MADE[name, d]


PAIRS = (
    Pair("cma-es", "cma", ours(CMAES(sigma=SIGMA)), pycma),
    Pair("nelder-mead", "scipy", ours(NelderMead(edge=EDGE)), scipy_nelder_mead),
    Pair("snes", "evosax", ours(SNES(sigma=SIGMA)), evosax("snes")),
    Pair(
        "evolution-strategy",
        "evosax",
        ours(
            EvolutionStrategy(
                population_size=POPULATION, sigma=SIGMA / 4, learning_rate=STEP, weight_decay=0.0
            )
        ),
        evosax("evolution-strategy"),
    ),
    Pair(
        "ars",
        "evosax",
        ours(ARS(directions=POPULATION // 2, step_size=STEP, sigma=SIGMA / 4)),
        evosax("ars"),
    ),
)
