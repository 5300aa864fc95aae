"""The flags of `python -m policysearch.compare` and of its subcommands `report` and `replay`.

Only light modules are imported here, so that `--help` answers at once.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from policysearch.compare.options import EnvironmentFlags, StudySettings
from policysearch.flags import Trust, Whole, flag, flags_of
from policysearch.reuse import Reuse

PROGRAM = "python -m policysearch.compare"

DESCRIPTION = """Compare methods of policy search on equal budgets of rollouts.

Without flags, runs the quick study: the general methods that need no extra on two small tasks, within two
minutes. A study file and flags may be mixed; flags win. Everything is kept in DIR/ledger.sqlite as it
happens: whatever ends a comparison (Ctrl-C, kill -9, a power cut), the same command continues where it
stopped, with the same numbers. A study file is a program: it runs the modules that it names, also those of
the present folder. `report`, `replay` and `export` import none that is not part of policysearch,
unless --trust names it.

  python -m policysearch.compare --tasks Pendulum-v1 --optimizers cma-es ars reinforce --rollouts 1000
  python -m policysearch.compare --tasks CartPole-v1 --optimizers all --set cma-es.sigma=0.5 --runs 10
  python -m policysearch.compare experiments/classic_control/study.toml --out DIR
  python -m policysearch.compare --tasks Hopper-v5 --steps 1000000 --tune 30
  python -m policysearch.compare --tasks CartPole-v1 --optimizers cma-es ars --runs 5 --plan
  python -m policysearch.compare --tasks CartPole-v1 --optimizers cma-es ars --runs 5 --settle 6
  python -m policysearch.compare report DIR1 DIR2 --out BOTH
  python -m policysearch.compare replay DIR/recommendations.npz/TASK/METHOD/RUN --video clip.gif
  python -m policysearch.compare export DIR/recommendations.npz/TASK/METHOD/RUN --out policy.h

A method is called better where the paired runs are not exchangeable (a sign-flip test of all pairs, with an
error in at most 5 % of studies on a task). That is no statement about means; the report says where these differ.

Open DIR/report.html (all of it on one page) or summary.md; there are also curves.png, tables (runs.csv,
curves.csv, summary.csv, pairs.csv, …), study.toml (runs the same study again), recommendations.npz and
failures.npz (parameters that replay reproduces).

Exit codes: 0 done, 1 nothing usable was found, 2 not possible as asked, 3 the machine's fault (disk, lost
processes, damaged file), 4 another process is at work in DIR, 130 interrupted."""


@flags_of(Reuse)
@flags_of(EnvironmentFlags)
@flags_of(StudySettings)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """The flags, with those of `StudySettings`; None leaves the study file's or the quick study's value."""

    study: Annotated[Positional[Path | None], flag("[STUDY.toml]", "the quick study")] = None
    """A study file; every comparison writes its own as DIR/study.toml."""

    tasks: Annotated[list[str] | None, flag("TASK …", "CartPole-v1 lqr")] = None
    """Gymnasium ids, also module:EnvId; names from --list; or module:TASK, a Task of your own. Arguments of an
    environment's constructor stand in a study file: [tasks.ID] and env = {mass = 2.0}."""

    optimizers: Annotated[list[str] | None, flag("NAME …", "all of them")] = None
    """Methods from --list, all of them (those that can search the tasks), or module:CLASS, one of your own.
    whitened:ars normalises the observations for ars; so for any method."""

    plan: Annotated[bool, flag("")] = False
    """After the runs, say how many more would settle what they leave open."""

    set: Annotated[list[str], flag("NAME.FIELD=VALUE …")] = dataclasses.field(default_factory=list)
    """Hyperparameters, as in cma-es.sigma=0.3; --list shows the fields."""

    workers: Annotated[Whole, flag("W", "one per processor")] = None
    """Worker processes; the tables do not depend on their number."""

    engine: Annotated[str | None, flag("ENGINE", "none")] = None
    """Make the runs on other machines: dask=tcp://HOST:PORT, dask=tls://HOST:PORT, dask=FILE.json, dask (its own
    configuration), or module:function, which returns an executor."""

    out: Annotated[Path | None, flag("DIR", "policysearch-results/NAME")] = None
    """Folder that keeps everything; by default a folder of its own for every study."""

    shard: Annotated[str | None, flag("I/N")] = None
    """Make only the I-th of N parts of the runs; `report` puts the parts together."""

    log: Annotated[Path | None, flag("FILE.csv")] = None
    """A file to which the rollouts of the searches are appended while they run, a row each."""

    latex: Annotated[bool, flag("")] = False
    """Also write table.tex."""

    list: Annotated[bool, flag("")] = False
    """Show tasks, policies, and methods with their hyperparameters, then stop."""


@dataclasses.dataclass(frozen=True)
class ReplayArguments:
    """Run the recommendation of a finished run again, on the very episodes of its report; or a failed episode.

    Says whether the return is the same to the last digit, or the failure; the exit code is 1 if it is not.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE.npz/TASK/METHOD/RUN")]
    """DIR/recommendations.npz and the run, as in DIR/recommendations.npz/CartPole-v1/cma-es/3; a part of that
    which no other run has is enough. Failed episodes as failures.csv names them. Files of earlier versions hold
    a single run."""

    video: Path | None = None
    """Also record the first of these episodes as an animated GIF."""

    trust: Trust = dataclasses.field(default_factory=list)
    """Modules outside policysearch that may be imported because the file names them; not from the present folder."""


@dataclasses.dataclass(frozen=True)
class ReportArguments:
    """Write the report again from the tables in one or more folders, merging them.

    The folders may hold shards of one study, or studies that differ in tasks, methods or runs only.
    """

    folders: Annotated[Positional[list[Path]], arg(metavar="DIR …")]
    """Folders that a comparison has written."""

    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: the only folder)")] = None
    """Where the report goes."""

    latex: Annotated[bool, flag("")] = False
    """Also write table.tex."""

    trust: Trust = dataclasses.field(default_factory=list)
    """Modules outside policysearch whose tasks declare reference returns; not from the present folder."""
