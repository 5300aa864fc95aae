"""Ray as an engine: `--engine ray_tasks:make`, with RAY_ADDRESS for a cluster that is there.

    ray start --head; policysearch compare --tasks lqr --optimizers cma-es ars --engine ray_tasks:make --out mine

Ray wants the same patch version of Python everywhere. A node has one slot, so that its tasks use all its processors.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import ray

from policysearch.engines import Engine


class RayExecutor(Executor):
    """Tasks of Ray as futures of the standard library."""

    def __init__(self) -> None:
        self._run = ray.remote(num_cpus=0, resources={"node": 1}, max_retries=0)(_call)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Hand out a task."""
        found: Future[Any] = self._run.remote(fn, args, kwargs).future()
        return found


def _call(function: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
    return function(*arguments, **keywords)


def make() -> Engine:
    """An engine over the nodes that were started with `--resources '{"node": 1}'`."""
    ray.init(log_to_driver=False)
    return Engine(RayExecutor(), lambda: int(ray.cluster_resources().get("node", 0)), ray.shutdown)
