"""The options of a study: checked values for files, flags and `compare`, and its keywords as editors know them.

Only light modules are imported here, so that `--help` answers at once.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from policysearch.configuration import STRICT, Settings
from policysearch.flags import described, flag
from policysearch.reuse import ReuseOptions
from policysearch.tasks.names import EvaluatorKind

if TYPE_CHECKING:
    from policysearch.core import Optimizer


@described
class StudySettings(BaseModel):
    """All that decides the numbers of a comparison except for its tasks and methods."""

    model_config = STRICT

    policy: Annotated[str | None, flag("NAME", "what suits the task")] = None
    """linear, mlp, mlp:32,32, tabular, … (see --list), or module:NAME, one of your own."""

    rollouts: Annotated[int | None, Field(ge=1), flag("N", "300")] = None
    """The budget of every search: episodes that it may spend."""

    steps: Annotated[int | None, Field(ge=1), flag("N", "no limit")] = None
    """The budget in environment steps, instead or as well; what a last generation spends beyond is cut off."""

    hours: Annotated[float | None, Field(gt=0), flag("H", "no limit")] = None
    """The longest that all of it may take; every search gets the same share. Searches then differ in rollouts, and
    the report says so."""

    target: Annotated[float | None, flag("RETURN", "none")] = None
    """End every search with a candidate whose mean return is this, or better."""

    episodes_per_candidate: Annotated[int, Field(ge=1), flag("K")] = 1
    """Episodes averaged for each candidate; all are charged."""

    runs: Annotated[int, Field(ge=1), flag("R")] = 10
    """Repetitions of every search, each on its own episodes. Asking for more later adds to those there are."""

    tune: Annotated[int, Field(ge=0), flag("N")] = 0
    """First search every method's hyperparameters with N runs per task, on seeds of their own."""

    settle: Annotated[int, Field(ge=0), flag("G")] = 0
    """Make groups of --runs until every pair of methods is decided, at most G; exchangeable methods are called
    different with a probability of 5 % at most, on each task."""

    settings: Annotated[Settings | None, flag("WHICH", "default")] = None
    """Hyperparameters that are not named: default, or source, those of the method's source where they differ;
    source:ars is a row of its own with them."""

    seed: Annotated[int, Field(ge=0), flag("S")] = 0
    """Seed of the study; the same seed gives the same tables."""

    report_episodes: Annotated[int, Field(ge=20), flag("N")] = 20
    """Held-out episodes on which a recommendation is reported; not charged to the search."""

    curve_points: int = Field(10, ge=1)
    """Intervals of the budget at whose ends curves have a point."""

    evaluator: Annotated[EvaluatorKind, flag("KIND")] = "auto"
    """auto (compiled rollouts where there are any), compiled, episodes, or pool (of processes)."""

    rollout_timeout: Annotated[float | None, Field(gt=0), flag("S", "none")] = None
    """Seconds after which a pool ends a rollout."""

    depends: Annotated[list[str] | None, flag("FILE …", "none")] = None
    """Files and folders that the results depend on and that are not found by themselves, such as data or an FMU."""


@described
class EnvironmentFlags(BaseModel):
    """What is done with the environments of all tasks; a study file has it for each, or in its section [env]."""

    model_config = STRICT

    env_kwargs: Annotated[list[str] | None, flag("NAME=VALUE …", "none")] = None
    """Arguments of the environment's constructor, as in gravity=5.0."""

    wrappers: Annotated[list[str] | None, flag("MODULE:CLASS(NAME=VALUE, …) …", "none")] = None
    """Wrappers around the environment, the innermost first: 'gymnasium.wrappers:ClipReward(min_reward=-1.0)'."""


#: Names, or choices by name, as the sections of a study file have them.
Section = Sequence[str] | Mapping[str, Mapping[str, Any]]


class CompareOptions(ReuseOptions, total=False):
    """The keywords of `policysearch.compare`: tasks, methods, and what `StudySettings` and `Reuse` describe."""

    tasks: Section
    optimizers: "Section | Sequence[str | Optimizer | type[Optimizer]] | Mapping[str, Optimizer]"
    policy: str | None
    rollouts: int | None
    steps: int | None
    hours: float | None
    target: float | None
    episodes_per_candidate: int
    runs: int
    tune: int
    settle: int
    settings: Settings | None
    seed: int
    report_episodes: int
    curve_points: int
    evaluator: EvaluatorKind
    rollout_timeout: float | None
    depends: Sequence[str] | None
