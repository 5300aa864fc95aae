"""What a command imports before there is something to do: in a fresh process, as importing takes most of the time."""

import subprocess
import sys
from pathlib import Path

#: What takes a tenth of a second or more to import, and what uses it when it is needed.
HEAVY = ("numba", "pandas", "scipy", "matplotlib", "cma", "jinja2", "torch", "mujoco")

COMMANDS = """
import importlib, io, contextlib, sys

def imported(heavy):
    return [name for name in heavy if name in sys.modules]

def run(module, *arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        importlib.import_module(module + '.__main__').main([*arguments])

for module, *arguments in (
    ('policysearch.compare', '--help'), ('policysearch.compare', 'report', '--help'),
    ('policysearch.compare', 'replay', '--help'), ('policysearch.tune', '--help'), ('policysearch.hitl', '--help'),
    ('policysearch.hitl', 'run', '--help'), ('policysearch.estimates', '--help'),
):
    run(module, *arguments)
    print(module, *arguments, imported((*HEAVY, 'numpy', 'gymnasium')))
import policysearch.compare.workers
print('workers', imported(HEAVY))
import policysearch.tune.api
print('tune', imported(('numba', 'scipy', 'matplotlib')))
import numpy as np
from policysearch import AskTell, CMAES, Domain
search = AskTell(CMAES(), Domain.unbounded(np.zeros(3)), seed=1)
for _ in range(3):
    search.tell(-(search.ask().params ** 2).sum(axis=1))
print('cma', imported(('scipy.stats', 'matplotlib')), 'cma.fitness_models' in sys.modules)
from policysearch.wire import changed
changed()
print('changed', imported(('scipy.stats', 'matplotlib')))
"""


def test_nothing_is_imported_that_is_not_needed() -> None:
    code = f"HEAVY = {HEAVY!r}\n{COMMANDS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.endswith("[]") and line != "cma [] True"] == [], done.stdout
    assert len(lines) == 11


def test_the_list_of_methods_is_shown_without_arrays_and_without_what_parses_flags() -> None:
    code = (
        "import io, contextlib, sys; from policysearch.compare.__main__ import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): code = main(['--list'])\n"
        f"print(code, [name for name in {(*HEAVY, 'numpy', 'gymnasium', 'tyro', 'pydantic')} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 []\n"


def test_a_report_imports_pictures_and_tables_only(tmp_path: Path) -> None:
    unused = (
        "numba",
        "scipy",
        "cma",
        "torch",
        "mujoco",
        "matplotlib.pyplot",
        "rich.live",
        "concurrent.futures.process",
    )
    folder = Path(__file__).parents[1] / "results" / "pendulum_linear"
    code = (
        "import io, contextlib, sys; from policysearch.compare.__main__ import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()): code = main(['report', {str(folder)!r}, '--out', {str(tmp_path)!r}])\n"
        f"print(code, [name for name in {unused} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 []\n"
