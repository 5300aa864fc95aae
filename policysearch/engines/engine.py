"""An engine: an executor of the standard library's kind, and how many of its tasks run at a time now.

    dask=tcp://head:8786    dask=tls://head:8786    dask=scheduler.json    dask    my_cluster:make

The last is a function that returns an executor. `dask` alone takes the scheduler that Dask's own configuration names.
"""

import contextlib
import gc
import importlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from policysearch.engines.guarded import Place
from policysearch.errors import MACHINE_TROUBLE, CommandError, EndsStudy
from policysearch.registry import imported

#: Seconds for the first connection, for an answer of a scheduler, and for the farewell.
CONNECT_SECONDS, ANSWER_SECONDS, CLOSING_SECONDS = 30, 30.0, 10.0
#: A connection is lost if so many looks, so many seconds apart, find it away. Looks are counted, since a driver that
#: gets no processor for a while does not look.
LOOKS, LOOK_SECONDS = 150, 0.05
FORMS = "dask=tcp://HOST:PORT, dask=tls://HOST:PORT, dask=FILE.json, dask, or module:function"


class NoEngine(CommandError, ValueError):  # noqa: N818 - it states what was found
    """A text names no engine, or one that is not installed."""


class EngineLost(EndsStudy, RuntimeError):  # noqa: N818 - it states what was found
    """The engine takes no tasks any more; what was run is kept by the driver."""

    exit_code = MACHINE_TROUBLE

    def __init__(
        self,
        why: Exception | str,
        said: str = "the engine is lost; what was run is kept: when the engine is back, the same command continues",
    ) -> None:
        super().__init__(f"{said} ({f'{type(why).__name__}: {why}' if isinstance(why, Exception) else why})")


class WorkerDiffers(EndsStudy):
    """A worker of the engine has other software, modules or files than the driver; it has run nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a worker of the engine differs: {reason}; install the same there, or end that worker"
        )


class WorkerFailed(EndsStudy):
    """A worker of the engine cannot run what it is sent, for a reason of its machine; what was run is kept."""

    exit_code = MACHINE_TROUBLE

    def __init__(self, reason: str) -> None:
        super().__init__(f"a worker of the engine cannot run this: {reason}; what it printed says more")


@dataclass(frozen=True, eq=False)
class Engine:
    """Where rollouts are run.

    Attributes:
        executor: takes chunks of rollouts.
        slots: how many tasks run at a time now; it raises when the engine is lost.
        close: gives back what was opened for it.
        seen: the workers that have answered, by host and process.
    """

    executor: Executor
    slots: Callable[[], int]
    close: Callable[[], Any] = lambda: None
    seen: dict[str, Place] = field(default_factory=dict)


def opened(engine: "Engine | Executor | str") -> Engine:
    """The engine that a text names, or that an executor is.

    Raises:
        NoEngine: for a text that names none, or an engine that is not installed.
        EngineLost: if nothing answers there.
    """
    if isinstance(engine, Engine):
        return engine
    if isinstance(engine, Executor):
        return Engine(engine, partial(_slots, engine))
    kind, _, place = engine.partition("=")
    if kind == "dask":
        return _dask(place)
    try:
        made = imported(engine)() if ":" in engine else None
    except Exception as error:  # whatever the user's function raises
        raise NoEngine(f"engine: expected {FORMS}, got {engine!r}: {error}") from error
    if isinstance(made, Engine):
        return made
    if not isinstance(made, Executor):
        raise NoEngine(f"engine: expected {FORMS}, got {engine!r}")
    return Engine(made, partial(_slots, made), partial(made.shutdown, wait=False, cancel_futures=True))


def workers(number: int) -> str:
    """So many workers, in words."""
    return f"{number} worker{'s' * (number != 1)}"


@contextlib.contextmanager
def using(engine: "Engine | Executor | str | None", say: Callable[[str], None]) -> Iterator[Engine | None]:
    """The engine while it is used, which says its workers; None for None. One that is handed over stays open."""
    if engine is None:
        yield None
        return
    found = opened(engine)
    try:
        if slots := found.slots():
            say(f"engine: {workers(slots)}")
        yield found
    finally:
        if found is not engine:
            found.close()


def _slots(executor: Any) -> int:
    """The slots of an executor: the workers of Dask's, else what it says, else the processors of this machine."""
    if type(executor).__module__.startswith("distributed."):
        return _dask_slots(executor._client)
    known = (getattr(executor, name, None) for name in ("_max_workers", "num_workers", "slots"))
    return next((n for n in known if isinstance(n, int)), os.cpu_count() or 1)


def _dask(place: str) -> Engine:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise NoEngine("engine: dask is not installed; pip install 'policysearch[dask]'") from error
    where = {"scheduler_file": place} if place.endswith(".json") else {"address": place}
    if place.endswith(".json") and not Path(place).is_file():
        raise NoEngine(f"engine: expected the file that a scheduler writes, got {place}, which is not there")
    if not place and not importlib.import_module("dask").config.get("scheduler-address", None):
        raise NoEngine(
            "engine: Dask's configuration names no scheduler: set DASK_SCHEDULER_ADDRESS, or give dask=ADDRESS"
        )
    try:
        client = _client(distributed.Client, **(where if place else {}))
    except OSError as error:
        at = place or "the address of Dask's configuration"
        raise EngineLost(error, f"engine: nothing answers at {at}: is a scheduler running there?") from error
    except (
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:  # an address of no kind that Dask knows, or without TLS
        raise NoEngine(f"engine: expected {FORMS}, got 'dask={place}': {error}") from error
    return Engine(
        client.get_executor(pure=False), partial(_dask_slots, client), partial(_close_client, client)
    )


def _close_client(client: Any) -> None:
    """End the connection; a scheduler that is gone, or does not answer, has nothing more to say."""
    log = logging.getLogger("distributed.client")
    log.disabled = True  # a traceback of the try to connect again, which ends now
    try:
        with _nothing_collected():
            client.close(timeout=CLOSING_SECONDS)
    except Exception:  # whatever its connection raises
        client.status = "closed"  # or Dask tries once more when it is collected
    finally:
        log.disabled = False


def _client(kind: Any, **where: str) -> Any:
    """A client of Dask that is connected; one that cannot connect is closed."""
    client = kind.__new__(kind)
    try:
        with _nothing_collected():
            client.__init__(**where, timeout=CONNECT_SECONDS, set_as_default=False)
    except BaseException:
        with contextlib.suppress(Exception):  # by how far it has come
            client.close()
            client._loop_runner.stop()  # which `close` leaves where nothing has answered
        raise
    return client


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """A client that is collected as garbage while another one starts, or ends, waits for ever for a lock of that."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _dask_slots(client: Any) -> int:
    """One task runs at a time on every worker; it spreads its rollouts over the processors.

    Raises:
        EngineLost: if the scheduler has not answered for a while.
    """
    looks = 0
    while client.status != "running":
        looks += 1
        if looks > LOOKS or client.status == "closed":
            raise EngineLost("the connection to the scheduler has ended")
        time.sleep(LOOK_SECONDS)
    if client._handle_report_task.done():  # nothing that is handed out would ever come back
        raise EngineLost("the scheduler tells nothing more")
    try:
        return len(client.sync(client.scheduler.ncores, callback_timeout=ANSWER_SECONDS))
    except Exception as error:  # whatever its connection raises
        raise EngineLost(error) from error
