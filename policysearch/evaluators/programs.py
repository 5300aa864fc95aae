"""Evaluation of an external program of named parameters, one process per episode.

    ./simulate --kp {kp} --ki {ki:.3f} --seed {seed}        ./simulate {json}

The command is split into arguments as a shell would, then `{name}` is replaced inside each of them, so no value can
become another argument and no shell is involved; `policysearch.evaluators.commands` lists the placeholders. The last
line that the program prints is its return: a number, or a JSON object as a function would return it (see
`policysearch.evaluators.printed` and `.functions`).

`{cutoff}` is the return beyond which the program may stop early and print what it has so far, as for a function.
Where none is known it is `inf` (goal "minimise") or `-inf`, and left out of the file, as JSON has no infinity. If a
parameter is called `cutoff`, the placeholder is that parameter. `{hopeless}`, the old name of `{cutoff}`, works
until the next release.
"""

import functools
import json
import logging
import math
import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from policysearch.configuration import Goal
from policysearch.constraints import Constraint
from policysearch.core import Evaluation, Proposal
from policysearch.evaluators.calls import CUTOFF_NAMES
from policysearch.evaluators.commands import Command, filled
from policysearch.evaluators.functions import Answer, FunctionEvaluator, Unusable
from policysearch.evaluators.printed import Printed, last_line, returned
from policysearch.evaluators.runner import Outcome, Pair, Runner, collect
from policysearch.seeding import Key
from policysearch.space import Space

logger = logging.getLogger("policysearch.programs")

GRACE_SECONDS = 1.0  # between asking a program to end and ending it
#: Attributes that belong to one process.
LIVE = ("_free", "_stopped", "_keeps", "_inner")
_TICK_SECONDS = 0.05  # how often the clock is looked at


class ProgramEvaluator(Runner):
    """Runs `command` for every episode, up to `workers` at a time; the results do not depend on how many.

    An episode fails if the program ends with an exit code other than 0, prints no return, prints one that is not
    finite, or takes more than `timeout` seconds (its process group is then ended). It is first run again, once.
    A program that writes files of fixed names needs a folder of its own for each run: `directory="{dir}"`.
    Programs do not outlive an interrupt or, where there is `setpriv` (Linux), this process.

    Args:
        command: the program and its arguments, with placeholders.
        space: how the optimizer's coordinates become named parameters.
        workers: how many programs may run at a time.
        timeout: the longest that an episode may take, in seconds.
        goal: with "minimise", the evaluation's returns are the program's with the sign turned.
        constraints: what the parameters have to meet; the program is not run for others.
        template: input files that are written for each run; see `policysearch.evaluators.commands`.
        directory: the folder in which the program runs, such as "{dir}", a fresh one for each run.

    Raises:
        ValueError: for a program, file or folder that is not there, a placeholder without a parameter or a parameter
            without a placeholder, or a limit that is not positive.
    """

    description = "runs of a program"

    def __init__(
        self,
        command: str,
        space: Space,
        *,
        workers: int = 1,
        timeout: float | None = None,
        goal: Goal = "maximise",
        constraints: Sequence[Constraint | str] = (),
        template: str | Sequence[str] = (),
        directory: str | None = None,
    ) -> None:
        for name, value in (("workers", workers), ("timeout", timeout)):
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected a positive number, got {value}")
        self.command, self.space, self.workers, self.timeout = command, space, workers, timeout
        self._command, self._here = Command.read(command, space, template, directory), Path.cwd()
        self._own = self._command.used - set(space.names)
        self.seeded = not self._own.isdisjoint({"seed", "json"})  # the file has the seed, too
        self._begin()
        self._inner = FunctionEvaluator(self._run, space, goal=goal, constraints=constraints)

    def _begin(self) -> None:
        self._free = SimpleQueue[int]()
        for worker in range(self.workers):
            self._free.put(worker)
        self._stopped, self._keeps = threading.Event(), threading.Semaphore()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to run the program."""
        return {name: value for name, value in vars(self).items() if name not in LIVE}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, workers=1)
        self._begin()

    @property
    def sent(self) -> tuple[FunctionEvaluator, tuple[str, ...]]:
        """What runs the program in other processes, one at a time in each, and the files that its command names.

        Raises:
            ValueError: if the command names the worker, of which there are those of other machines too.
        """
        if "worker" in self._own:
            raise ValueError(
                f"command: expected no {{worker}} where the program runs on an engine, got {self.command!r}"
            )
        words = [str(self._here / word) for word in shlex.split(self.command)]
        return self._inner, tuple(word for word in words if Path(word).is_file())

    def on(self, scenarios: Sequence[dict[str, Any]]) -> "ProgramEvaluator":
        """This evaluator, on the scenarios of a `FunctionEvaluator`."""
        self._inner.scenarios = tuple(scenarios)
        return self

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """One run of the program per candidate and episode, with the seed of that episode."""
        self._inner.check(proposal)
        self._stopped.clear()

        def run(pair: Pair) -> Outcome:
            return self._inner.outcomes(proposal, key, [pair])[0]

        with ThreadPoolExecutor(self.workers) as threads:
            try:
                return collect(proposal, list(threads.map(run, proposal.pairs)))
            except BaseException:  # such as Ctrl-C
                self._stopped.set()
                raise

    def _run(self, values: Mapping[str, Any], /, seed: int, cutoff: float) -> Answer:
        worker = self._free.get()
        try:
            with self._folder() as folder:
                places = {"dir": folder, "worker": worker, "here": str(self._here)}
                return self._answer(places, values, seed, cutoff)
        finally:
            self._free.put(worker)

    @contextmanager
    def _folder(self) -> Iterator[str]:
        """A fresh folder, if the command names one; that of the first run that fails is kept."""
        if "dir" not in self._own:
            yield ""
            return
        with tempfile.TemporaryDirectory(prefix="policysearch-", ignore_cleanup_errors=True) as folder:
            try:
                yield folder
            except Unusable:
                if not self._stopped.is_set() and self._keeps.acquire(blocking=False):
                    kept = Path(folder).rename(f"{folder}-failed")
                    logger.warning("the folder of the first run that failed is kept: %s", kept)
                raise

    def _answer(
        self, places: Mapping[str, Any], values: Mapping[str, Any], seed: int, cutoff: float
    ) -> Answer:
        cutoffs = {name: cutoff for name in CUTOFF_NAMES if name not in values}
        given = {**values, "seed": seed, **(cutoffs if math.isfinite(cutoff) else {})}
        with ExitStack() as stack:
            if "json" in self._own:
                path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "parameters.json")
                path.write_text(json.dumps(given), encoding="utf-8")
                given["json"] = str(path)
            given = {**places, **given, **cutoffs}
            for name, text in self._command.templates.items():
                Path(places["dir"], name).write_bytes(filled(text, given).encode(errors="surrogateescape"))
            code, printed, errors = self._output(given)
        if code != 0:
            raise _failed(_exit_code(code), errors)
        try:
            return Answer.read(returned(printed), by="it")
        except (ValueError, TypeError, OverflowError) as error:
            raise _failed(f"{_exit_code(code)}, but {error}", errors) from error

    def _output(self, given: Mapping[str, Any]) -> tuple[int, str, str]:
        """Exit code of the command, and the ends of what it printed and of its errors."""
        if self._stopped.is_set():  # nor is one begun again
            raise Unusable("it was stopped")
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's program, without a shell
                [*_ending_with_parent(), *(filled(text, given) for text in self._command.arguments)],
                cwd=self._here / filled(self._command.directory or [], given),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # its own process group
            )
        except OSError as error:
            raise Unusable(f"it could not be started: {error}") from error
        with process, Printed(process) as printed:
            try:
                stopped = self._wait(process, printed)
            finally:
                _end(process)
            printed.drain()
        out, errors = printed.texts()
        if stopped:
            raise _failed(f"{stopped} ({_exit_code(process.returncode)})", errors)
        return process.returncode, out, errors

    def _wait(self, process: "subprocess.Popen[bytes]", printed: "Printed") -> str:
        """Read until the process ends; if it has to be stopped, why."""
        began = time.monotonic()
        while process.poll() is None:
            if self._stopped.is_set():
                return "it was stopped"
            if self.timeout is not None and time.monotonic() - began > self.timeout:
                return f"it took more than {self.timeout:g} s"
            if printed.is_open:
                printed.read(_TICK_SECONDS)
            else:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_TICK_SECONDS)
        return ""


@functools.cache
def _ending_with_parent() -> tuple[str, ...]:
    """What has the kernel end a command with the thread that started it, if it can."""
    prefix = ("setpriv", "--pdeathsig", "KILL", "--")
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, check=False)  # noqa: S603
    except OSError:
        return ()
    return prefix if done.returncode == 0 else ()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its group: politely, then for good."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # no process is left (macOS: only a zombie)
        os.killpg(process.pid, number)


def _failed(reason: str, errors: str) -> Unusable:
    said = last_line(errors)
    return Unusable(f"{reason}: {said:.200}" if said else reason, errors)


def _exit_code(code: int) -> str:
    with suppress(ValueError):
        return f"exit code {code} ({signal.Signals(-code).name})"
    return f"exit code {code}"
