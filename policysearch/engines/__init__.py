"""Rollouts on other machines, by an engine that exists: Dask, or any `concurrent.futures.Executor`.

    from policysearch.engines import Engine, EngineEvaluator
    with EngineEvaluator(evaluator, Engine(executor, slots=lambda: 8)) as distributed:
        distributed.evaluate(proposal, key)        # the bits of `evaluator.evaluate(proposal, key)`

The driver keeps everything; what is on a worker can be lost at any time. Every worker guards the simulator with
processes of its own (`policysearch.evaluators.PoolEvaluator`). No engine is imported unless it is named.
"""

from policysearch.engines.engine import (
    Engine,
    EngineLost,
    NoEngine,
    WorkerDiffers,
    WorkerFailed,
    opened,
    using,
)
from policysearch.engines.evaluator import EngineEvaluator

__all__ = [
    "Engine",
    "EngineEvaluator",
    "EngineLost",
    "NoEngine",
    "WorkerDiffers",
    "WorkerFailed",
    "opened",
    "using",
]
