"""Whatever a user has set, and whatever fails while pictures are drawn: the results are there, the pictures as always."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine, TightLayoutEngine

from policysearch.compare import report as compare_report
from policysearch.compare.comparison import Comparison
from policysearch.compare.plots import write_curves
from policysearch.estimates.__main__ import main as gradients
from policysearch.hitl import report as hitl_report
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.reporting.figures import drawing, figure_of, png, svg, tell, write_png
from policysearch.tune.__main__ import main as tune

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _told_anew() -> Iterator[None]:
    tell.cache_clear()
    yield
    tell.cache_clear()


def picture(folder: Path) -> tuple[str, bytes]:
    with figure_of(1, 1, 3.0, 2.0) as (figure, axes):
        axes[0, 0].plot([0.0, 1.0], label="a")
        axes[0, 0].set(xlabel="x", title="ü")
    write_png(folder / "a.png", figure)
    return svg(figure, "a"), (folder / "a.png").read_bytes()


@pytest.mark.parametrize(
    "settings",
    [
        {"text.usetex": True},  # there is no LaTeX
        {"font.family": ["Comic Neue"]},
        {"font.size": 30.0, "axes.facecolor": "red"},
        {"savefig.bbox": "tight", "savefig.dpi": 17, "figure.dpi": 300},
        {"axes.formatter.use_locale": True, "axes.unicode_minus": False},
        {"svg.fonttype": "path", "path.simplify": False, "axes.grid": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_settings_of_the_user_change_nothing_and_are_left_alone(settings: Any, tmp_path: Path) -> None:
    expected = picture(tmp_path)
    with mpl.rc_context(settings):
        assert picture(tmp_path) == expected
        assert {name: mpl.rcParams[name] for name in settings} == settings


LOADS = "from policysearch.command_line import running; import sys; sys.exit(running(lambda: __import__('{}') is None))"


@pytest.mark.parametrize(
    "backend",
    [
        "no-such-backend",
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("module://matplotlib_inline.backend_inline", "tkagg")
        ),
    ],
)
def test_a_command_draws_without_a_window_whatever_the_backend_of_the_user(backend: str) -> None:
    environment = os.environ | {"MPLBACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LOADS.format("matplotlib.pyplot")], env=environment, check=False
    )
    assert done.returncode == 0


def test_a_figure_is_laid_out_once_and_drawn_once_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(self: Any, *args: Any) -> Any:
            done.append(name)
            return original(self, *args)

        monkeypatch.setattr(owner, name, counted)

    count(Figure, "draw")
    count(ConstrainedLayoutEngine, "execute")
    count(TightLayoutEngine, "execute")
    with figure_of(1, 1, 3.0, 2.0) as (figure, _):
        pass
    svg(figure, "a")
    assert done == ["execute", "draw"]
    done.clear()
    write_curves(Comparison.read(ROOT / "results" / "pendulum_linear"), tmp_path)
    assert done == ["execute", "draw", "draw"]
    assert {path.name for path in tmp_path.iterdir()} == {"curves.png", "curves.svg"}


def test_a_figure_is_laid_out_for_the_text_that_its_file_shows() -> None:
    left = []
    for draw in (png, lambda figure: svg(figure, "a")):
        with figure_of(1, 1, 3.0, 2.0) as (figure, axes):
            axes[0, 0].set_yticks([0.0, 1.0], ["a long name of a method", "0"])
        draw(figure)
        left.append(axes[0, 0].get_position().x0)
    assert left[1] < left[0] < left[1] + 0.05  # letters of pixels are wider


def write_comparison(out: Path) -> str:
    compare_report.write(Comparison.read(ROOT / "results" / "pendulum_linear"), out, latex=True)
    return "runs.csv curves.csv summary.csv summary.md report.html table.tex"


def write_gradients(out: Path) -> str:
    flags = ["--repeats", "3", "--rollouts", "4", "--estimators", "reward-to-go", "--out", str(out)]
    assert gradients(["bandit", *flags]) == 0
    return "estimates.csv estimates.md"


def write_session(out: Path) -> str:
    hitl_report.write(Session.begin(SessionPlan(bouts=8)), out)
    return "bouts.csv report.html"


def square(x: float) -> float:
    return x * x


def write_tuning(out: Path) -> str:
    plant = out.parent / "plant.toml"
    plant.write_text(
        'function = "test_drawing:square"\nrollouts = 20\n[parameters.x]\nstart = 1.0\nlower = 0.0\nupper = 2.0\n'
    )
    assert tune([str(plant), "--out", str(out)]) == 0
    return "history.csv result.txt"


WRITERS = [write_comparison, write_gradients, write_session, write_tuning]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("latex could not be found"),
        *(
            pytest.param(x, marks=pytest.mark.nightly)
            for x in (FileNotFoundError("DejaVuSans.ttf"), MemoryError())
        ),
    ],
)
@pytest.mark.parametrize("write", WRITERS)
def test_results_are_written_also_if_nothing_can_be_drawn(
    write: Callable[[Path], str], error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Figure, "savefig", fail)
    names = write(tmp_path / "out").split()
    assert {*names} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix in {".png", ".svg", ".part"}]
    output = capsys.readouterr()
    said = (output.out + output.err).splitlines()
    assert sum(line.startswith("no pictures: ") for line in said) == 1
    assert f"{type(error).__name__}: {error}".rstrip() in "".join(said)


def test_a_disk_that_is_full_is_no_failed_drawing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with figure_of(1, 1, 3.0, 2.0) as (figure, _), pytest.raises(OSError, match="no-such-folder"), drawing():
        write_png(tmp_path / "no-such-folder" / "a.png", figure)
    assert capsys.readouterr().err == ""


def test_a_reason_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    for reason in ("a\nb", "a\nb", "c"):
        with drawing():
            raise ValueError(reason)
    assert capsys.readouterr().err == "no pictures: ValueError: a b\nno pictures: ValueError: c\n"
