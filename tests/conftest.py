"""Tests run with the shapes in the package's signatures checked at call time, and can be run in parts.

By day the first calls of every function are checked at the boundaries and in the small modules; with `--all-types`, as at
night, all calls in every module: to wrap all functions costs every process eight seconds, and many of the calls are short. Modules of functions for
Numba are left alone: it compiles what is written, not a checking wrapper. Properties are tried on fewer examples by
day, unless a test names a number of its own.
"""

import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# The matrices are small, and threads of BLAS that wait for one another on processors that other tests use take many
# times as long as the work itself. This is for SciPy, which is not loaded yet, and for processes that tests start.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

from jaxtyping import install_import_hook
from threadpoolctl import threadpool_limits
from typechecker import check_first_calls

PACKAGE = Path(__file__).parent.parent / "policysearch"


#: Folders whose modules are checked by day: the package's root, through which everything passes, and small ones.
BY_DAY = (PACKAGE, PACKAGE / "models")
#: Modules with functions that Numba compiles, which a type checker must not wrap.
COMPILED = {
    PACKAGE / "jit.py",
    PACKAGE / "policies/kernels.py",
    PACKAGE / "evaluators/loop.py",
    PACKAGE / "optimizers/minibatch.py",
    PACKAGE / "gradients/sums.py",
} | {path for path in PACKAGE.rglob("*.py") if "\nfrom numba import" in path.read_text(encoding="utf-8")}
#: What beartype cannot check outside a class that it decorates: the objects of Pydantic's validators, and `Self`; and
#: what says itself what is wrong with a call.
NOT_CHECKED = {
    PACKAGE / name
    for name in ("compare/study.py", "compare/tables.py", "exoskeleton/human.py", "compare/api.py")
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-types", action="store_true", help="check the calls of all modules")
    parser.addoption("--part", default="1/1", metavar="I/N", help="the I-th of N parts of the tests")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell has started the tests in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    threadpool_limits(1)  # of NumPy, which a plugin of pytest has loaded
    if config.getoption("--all-types"):  # modules that are not checked by day are compiled in another form
        sys.pycache_prefix = str(PACKAGE.parent / ".nightly" / "bytecode")
    patient = settings(
        deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )  # on a machine that is busy
    settings.register_profile("night", patient)
    settings.register_profile("day", patient, max_examples=25)
    settings.load_profile("night" if config.getoption("--all-types") else "day")
    checked = [
        ".".join(("policysearch", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py" and path not in COMPILED | NOT_CHECKED
        if path.parent in BY_DAY or config.getoption("--all-types")
    ]
    if not config.getoption("--all-types"):
        check_first_calls(100)
    install_import_hook(checked, "typechecker.check")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of this part: those whose name has a hash of I - 1 modulo N. At night one may take an hour."""
    part, _, parts = config.getoption("--part").partition("/")
    if not 1 <= int(part) <= int(parts):
        raise pytest.UsageError(f"--part {part}/{parts}: expected I/N with 1 <= I <= N")

    def here(item: pytest.Item) -> bool:
        return int(hashlib.sha256(item.nodeid.encode()).hexdigest(), 16) % int(parts) == int(part) - 1

    config.hook.pytest_deselected(items=[item for item in items if not here(item)])
    items[:] = [item for item in items if here(item)]
    for item in items:
        if item.get_closest_marker("nightly") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session")
def warm_workers() -> None:
    """Workers are forked from a process that has imported what the environments of the tests need.

    Else each of them does it anew, which takes longer than what it is asked to do.
    """
    tests = Path(__file__).parent
    with pytest.MonkeyPatch.context() as patch:  # Python 3.11 does not send it `sys.path`
        patch.setenv("PYTHONPATH", os.pathsep.join([str(tests.parent), str(tests)]))
        forkserver.set_forkserver_preload(["warm_server"])
        forkserver.ensure_running()


@pytest.fixture
def no_tune_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of a tuning are not drawn: to draw them takes longer than to tune."""
    monkeypatch.setattr("policysearch.tune.written.draw", lambda result, out: ())


@pytest.fixture(scope="module")
def blank_pictures() -> Iterator[None]:
    """Reports that a test of the module writes are made as quickly as `without_pictures` has it."""
    with without_pictures():
        yield


@pytest.fixture
def blank_pictures_here() -> Iterator[None]:
    """Reports that the test writes are made as quickly as `without_pictures` has it."""
    with without_pictures():
        yield


@contextlib.contextmanager
def without_pictures() -> Iterator[None]:
    """Every picture that is written is an empty one, and statistics resample little.

    To lay out and draw the pictures of a report, and to simulate studies for the runs that it advises, takes longer
    than its comparison.
    """
    from markupsafe import Markup
    from matplotlib.figure import Figure
    from pages import blank_png

    from policysearch import files

    blank: dict[str, Any] = {"svg": '<svg xmlns="http://www.w3.org/2000/svg"/>', "png": blank_png()}

    empty = Markup(blank["svg"])  # noqa: S704 - our own

    def save(_: Figure, target: Any, *, format: str, **__: Any) -> None:  # noqa: A002 - matplotlib's name
        if isinstance(target, Path):
            with target.open("w" if format == "svg" else "wb") as file:
                file.write(blank[format])
        else:
            target.write(blank[format])

    def write_curves(_: Any, out: Path) -> None:
        files.write_text(out / "curves.svg", blank["svg"])
        with files.replacing(out / "curves.png") as file:
            file.write(blank["png"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        for report in ("policysearch.compare.report", "policysearch.hitl.report"):
            patch.setattr(f"{report}.drawn", lambda *_: empty)
        patch.setattr("policysearch.compare.plots.write_curves", write_curves)
        patch.setattr("policysearch.compare.power.STUDIES", 4)
        patch.setattr("policysearch.compare.statistics.RESAMPLES", 20)
        yield
