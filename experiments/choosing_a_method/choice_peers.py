"""Methods of other packages as optimizers of this one, so that the same loop runs, charges and records them.

Each begins where ours do, proposes as it does by its own loop (one point, or its population), and is told costs: the
fitness of this package with its sign changed, in which a failed rollout is worse than all others of its generation.
All are told it in the coordinates of the domain. Where there are no bounds, those that need some search the start
± `BOX`. A peer that knows its budget is a search of its own for each.

The recommendation is what the package recommends: `cma` its `xfavorite`, `cmaes` and evosax the mean, nevergrad its
`provide_recommendation`, Optuna the best trial; SciPy's functions have none until they end, so it is the best point.
"""

import importlib.util
import queue
import threading
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from policysearch.core import Array, Domain, Evaluation, Proposal, Search

#: Half the width of the box in which a search is that needs bounds where there are none, in scaled units.
BOX = 5.0
SIGMA = 0.3  # σ_0 of the CMA-ES of others, as of ours
Begin = Callable[[Domain, int, int], Search]


@dataclass(frozen=True)
class Peer:
    """A method of another package."""

    packages: str  # that it needs
    begin: Begin  # with the domain, the seed and the budget
    budget: int = 0
    knows_budget: bool = False

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Its own loop."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (yield from self.begin(domain, int(rng.integers(2**31 - 1)), self.budget))


def costs(evaluation: Evaluation) -> list[float]:
    """What is told: less is better."""
    return (-evaluation.fitness).tolist()


def box(domain: Domain) -> tuple[Array, Array]:
    """Two finite bounds for every parameter."""
    low = np.where(np.isfinite(domain.lower), domain.lower, domain.start - BOX)
    return low, np.where(np.isfinite(domain.upper), domain.upper, domain.start + BOX)


def pycma(domain: Domain, seed: int, budget: int) -> Search:
    """CMA-ES of `cma` with its default tolerances."""
    import cma  # noqa: PLC0415

    options: dict[str, Any] = {"seed": seed + 1, "verbose": -9, "verb_log": 0}
    if domain.bounded:
        options["bounds"] = [domain.lower, domain.upper]
    es, best = cma.CMAEvolutionStrategy(domain.start, SIGMA, options), domain.start
    while not es.stop():
        points = es.ask()
        evaluation = yield Proposal(np.array(points), best)
        es.tell(points, costs(evaluation))
        best = domain.clip(np.array(es.result.xfavorite))
    return best


def cmaes(lr_adapt: bool) -> Begin:
    """CMA-ES of `cmaes`, with or without the adaptation of learning rates."""

    def begin(domain: Domain, seed: int, budget: int) -> Search:
        import cmaes  # noqa: PLC0415

        bounds = np.column_stack([domain.lower, domain.upper]) if domain.bounded else None
        es = cmaes.CMA(domain.start.copy(), SIGMA, bounds, seed=seed, lr_adapt=lr_adapt)
        best = domain.start
        while not es.should_stop():
            points = np.array([es.ask() for _ in range(es.population_size)])
            evaluation = yield Proposal(points, best)
            es.tell(list(zip(points, costs(evaluation), strict=True)))
            best = domain.clip(es.mean.copy())
        return best

    return begin


def nevergrad(name: str) -> Begin:
    """A method of nevergrad, which is told its budget."""

    def begin(domain: Domain, seed: int, budget: int) -> Search:
        import nevergrad as ng  # noqa: PLC0415

        array = ng.p.Array(init=domain.start.copy())
        if domain.enclosed:
            array.set_bounds(domain.lower, domain.upper)
        array.random_state.seed(seed)
        optimizer = ng.optimizers.registry[name](parametrization=array, budget=budget, num_workers=1)
        best, told = domain.start, 0
        while True:
            candidate = optimizer.ask()
            evaluation = yield Proposal(domain.clip(np.array(candidate.value))[None], best)
            optimizer.tell(candidate, costs(evaluation)[0])
            told += 1
            if told >= budget:  # before that nobody asks
                best = domain.clip(np.array(optimizer.provide_recommendation().value))

    return begin


def optuna(make: Callable[[Any, int], Any]) -> Begin:
    """A sampler of Optuna, whose first trial is the start."""

    def begin(domain: Domain, seed: int, budget: int) -> Search:
        import optuna as library  # noqa: PLC0415

        library.logging.set_verbosity(library.logging.ERROR)
        low, high = box(domain)
        names = [f"x{i}" for i in range(low.size)]
        ranges = {
            name: library.distributions.FloatDistribution(*ends)
            for name, *ends in zip(names, low.tolist(), high.tolist(), strict=True)
        }
        study = library.create_study(sampler=make(library.samplers, seed))
        study.enqueue_trial(dict(zip(names, domain.start.tolist(), strict=True)))
        best, least = domain.start, np.inf
        while True:
            trial = study.ask(ranges)
            point = domain.clip(np.array([trial.params[name] for name in names]))
            evaluation = yield Proposal(point[None], best)
            cost = costs(evaluation)[0]
            study.tell(trial, cost)
            best, least = (point, cost) if cost < least else (best, least)

    return begin


@cache
def _compiled_once(method: Any, d: int) -> Any:
    """A method of evosax for so many parameters, which JAX compiles for each of these objects."""
    return method(4 + int(3 * np.log(d)), np.zeros(d))


def evosax(name: str) -> Begin:
    """A method of evosax."""

    def begin(domain: Domain, seed: int, budget: int) -> Search:
        import jax  # noqa: PLC0415
        from evosax import algorithms  # noqa: PLC0415

        jax.config.update("jax_enable_x64", True)
        es = _compiled_once(getattr(algorithms, name), domain.start.size)
        params = es.default_params.replace(std_init=SIGMA)
        key, best = jax.random.key(seed), domain.start
        state = es.init(key, domain.start, params)
        while True:
            key, asking, telling = jax.random.split(key, 3)
            population, state = es.ask(asking, state, params)
            evaluation = yield Proposal(domain.clip(np.asarray(population, dtype=float)), best)
            state, _ = es.tell(telling, population, np.array(costs(evaluation)), state, params)
            best = domain.clip(np.asarray(state.mean, dtype=float))

    return begin


class _Over(Exception):  # noqa: N818 - not an error
    """The search has been closed."""


def scipy(minimise: Callable[[Callable[[Array], float], Domain, int], object]) -> Begin:
    """A function of SciPy, which calls back; it runs in a thread that waits for its costs."""

    def begin(domain: Domain, seed: int, budget: int) -> Search:
        asked: queue.Queue[Any] = queue.Queue()
        answered: queue.Queue[float | None] = queue.Queue()

        def cost(x: Array) -> float:
            asked.put(domain.clip(np.array(x, dtype=float)))
            if (answer := answered.get()) is None:
                raise _Over
            return answer

        def run() -> None:
            try:
                asked.put(minimise(cost, domain, seed) and None)
            except _Over:
                pass
            except Exception as error:
                asked.put(error)

        return (yield from _answered(threading.Thread(target=run, daemon=True), asked, answered, domain))

    return begin


def _answered(
    thread: threading.Thread, asked: "queue.Queue[Any]", answered: "queue.Queue[float | None]", domain: Domain
) -> Generator[Proposal, Evaluation, Array]:
    """What the thread asks, until it ends."""
    best, least = domain.start, np.inf
    thread.start()
    try:
        while isinstance(x := asked.get(), np.ndarray):
            evaluation = yield Proposal(x[None], best)
            cost = costs(evaluation)[0]
            best, least = (x, cost) if cost < least else (best, least)
            answered.put(cost)
        if isinstance(x, Exception):
            raise x
        return best
    finally:
        answered.put(None)
        thread.join()


def _minimize(method: str, **options: Any) -> Callable[[Callable[[Array], float], Domain, int], object]:
    def run(cost: Callable[[Array], float], domain: Domain, seed: int) -> object:
        from scipy import optimize  # noqa: PLC0415

        minimize: Any = optimize.minimize
        bounds = list(zip(domain.lower, domain.upper, strict=True)) if domain.bounded else None
        return minimize(cost, domain.start, method=method, bounds=bounds, options=options)

    return run


def _evolution(cost: Callable[[Array], float], domain: Domain, seed: int) -> object:
    from scipy.optimize import differential_evolution  # noqa: PLC0415

    ends: Any = list(zip(*box(domain), strict=True))
    return differential_evolution(cost, ends, x0=domain.start, rng=seed, tol=0.0, maxiter=10**6, polish=False)


LONG = {"maxfev": 10**6, "maxiter": 10**6}
PEERS: dict[str, Peer] = {
    "pycma": Peer("cma", pycma),
    "cmaes": Peer("cmaes", cmaes(lr_adapt=False)),
    "cmaes lr_adapt": Peer("cmaes", cmaes(lr_adapt=True)),
    "nevergrad NGOpt": Peer("nevergrad", nevergrad("NGOpt"), knows_budget=True),
    "nevergrad TBPSA": Peer("nevergrad", nevergrad("TBPSA"), knows_budget=True),
    "nevergrad OnePlusOne": Peer("nevergrad", nevergrad("OnePlusOne"), knows_budget=True),
    "optuna TPE": Peer("optuna", optuna(lambda s, seed: s.TPESampler(seed=seed))),
    "optuna GP": Peer("optuna", optuna(lambda s, seed: s.GPSampler(seed=seed))),
    "optuna CmaEs": Peer("optuna", optuna(lambda s, seed: s.CmaEsSampler(seed=seed))),
    "scipy Nelder-Mead": Peer("scipy", scipy(_minimize("Nelder-Mead", **LONG))),
    "scipy Powell": Peer("scipy", scipy(_minimize("Powell", **LONG))),
    "scipy COBYQA": Peer("scipy", scipy(_minimize("COBYQA", **LONG))),
    "scipy differential evolution": Peer("scipy", scipy(_evolution)),
    "evosax CMA_ES": Peer("evosax jax", evosax("CMA_ES")),
}  # fmt: skip


def installed() -> dict[str, Peer]:
    """The peers whose packages are installed."""
    find = importlib.util.find_spec
    return {name: peer for name, peer in PEERS.items() if all(map(find, peer.packages.split()))}
