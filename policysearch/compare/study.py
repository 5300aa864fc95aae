"""The study: what is compared with what, as one validated model that a TOML file or the flags fill.

`Study.resolve` reports every mistake at once, each with its place, what was expected and what was given.
"""

import dataclasses
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from policysearch.compare.fit import Fit, left_out
from policysearch.compare.options import StudySettings
from policysearch.compare.rows import SAVED, OptimizerChoice, choice_of, row_of
from policysearch.configuration import STRICT, messages
from policysearch.core import Optimizer, needs_of
from policysearch.errors import CommandError
from policysearch.evaluators.wrappers import wrapping
from policysearch.limits import Limits
from policysearch.optimizers import OPTIMIZERS, Repeated
from policysearch.plain_data import is_plain
from policysearch.search import Budget
from policysearch.seeding import stream
from policysearch.tasks import (
    Problem,
    Task,
    find_task,
    known_task,
    make_evaluator,
    make_problem,
    parse_policy,
)

#: Methods for cases that the quick study has not (many parameters, tiny budgets, smooth returns without noise),
#: and the one that chooses among them.
SPECIAL = ("auto", "multi-start", "one-plus-one-cma-es", "quadratic-model", "sep-cma-es")


def quick() -> dict[str, Any]:
    """What `python -m policysearch.compare` runs when nothing is asked for; all methods are imported for it."""
    general = [name for name, cls in OPTIMIZERS.items() if not needs_of(cls).extra and name not in SPECIAL]
    return QUICK | {"optimizers": {name: {} for name in (*general, "whitened:ars")}}


#: The same without methods.
QUICK: dict[str, Any] = {"tasks": {"CartPole-v1": {}, "lqr": {}}, "rollouts": 300, "runs": 10}


class StudyError(CommandError, ValueError):
    """What is wrong with a study: one line per mistake."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def _policy(spec: str) -> str:
    parse_policy(spec)
    return spec


class TaskChoice(BaseModel):
    """One task of a study, and what differs from the study's defaults for it.

    A budget given here, in rollouts or steps, replaces the study's.
    """

    model_config = STRICT
    policy: Annotated[str, AfterValidator(_policy)] | None = None
    deploy: Literal["mode", "sample"] | None = None
    rollouts: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    target: float | None = None
    episodes_per_candidate: int | None = Field(None, ge=1)
    max_episode_steps: int | None = Field(None, ge=1)
    normalise: tuple[float, float] | None = None  # returns that become 0 and 1 in profiles and targets
    options: dict[str, dict[str, Any]] = {}  # hyperparameters of rows, by label, on this task only
    env: dict[str, Any] | None = None  # arguments of the environment's constructor
    wrappers: list[dict[str, Any]] | None = None  # around the environment, the innermost first
    failure_return: float | None = Field(None, allow_inf_nan=False)  # what a failed report episode counts as

    @field_validator("env")
    @classmethod
    def _plain(cls, env: dict[str, Any] | None) -> dict[str, Any] | None:
        for name, value in (env or {}).items():
            if not is_plain(value):
                raise ValueError(
                    f"{name}: expected what a study file can hold: numbers, text, truth values, lists "
                    f"and tables of them; got {value!r}; register an id for it"
                )
        return env

    @field_validator("wrappers", mode="before")
    @classmethod
    def _tables(cls, wrappers: Any) -> Any:
        return [wrapping(each) for each in wrappers] if isinstance(wrappers, list) else wrappers

    @field_validator("normalise")
    @classmethod
    def _increasing(cls, pair: tuple[float, float] | None) -> tuple[float, float] | None:
        if pair is not None and not pair[0] < pair[1]:
            raise ValueError(f"expected [low, high] with low < high, got {list(pair)}")
        return pair


def _task_name(name: str, info: ValidationInfo) -> str:
    known_task(name) if info.context is SAVED else find_task(name)
    return name


class Study(StudySettings):
    """Everything that decides the numbers of a comparison."""

    tasks: dict[Annotated[str, AfterValidator(_task_name)], TaskChoice] = Field(
        min_length=1,
        description="Names of tasks, and what differs for each of them from the settings of the study.",
    )
    optimizers: dict[str, OptimizerChoice] = Field(
        min_length=1, description="Rows of the comparison by label."
    )

    @field_validator("policy")
    @classmethod
    def _known(cls, policy: str | None) -> str | None:
        return policy if policy is None else _policy(policy)

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, data: Any) -> Any:
        """Accept a list of names for tasks and optimizers, and hyperparameters next to `method`."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if data.get("rollouts") is None and data.get("steps") is None:
            data["rollouts"] = 300
        for section in ("tasks", "optimizers"):
            names = data.get(section)
            if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
                data[section] = {name: {} for name in names}
        rows = data.get("optimizers")
        if isinstance(rows, dict):
            settings = data.get("settings")
            data["optimizers"] = {label: choice_of(label, row, settings) for label, row in rows.items()}
        return data

    @classmethod
    def resolve(cls, data: dict[str, Any]) -> "Study":
        """The checked study.

        Raises:
            StudyError: with every mistake, also those of a combination of task, policy and optimizer.
        """
        return cls.resolve_without(data, (), ())[0]

    @classmethod
    def resolve_without(
        cls, data: dict[str, Any], unfit: Collection[str], costly: Collection[str]
    ) -> tuple["Study", list[str]]:
        """The checked study without some of its rows, and a line for each reason to leave rows out.

        Those of `unfit` are left out where they cannot search some task, those of `costly` where their first
        generation is over its budget; unless none would be left.

        Raises:
            StudyError: as `resolve`.
        """
        try:
            study = cls(**data)
        except ValidationError as error:
            fields = {"tasks": list(TaskChoice.model_fields)}
            lines = messages(error, known=list(cls.model_fields), within=fields)
            remedy = "; arguments of an environment are given as env = {NAME = VALUE}"
            unknown = [line.startswith("tasks.") and ": not an option" in line for line in lines]
            raise StudyError(
                [line + remedy * known for line, known in zip(lines, unknown, strict=True)]
            ) from error
        fits = [study._fit(name) for name in study.tasks]
        gone, lines = left_out(fits, unfit, costly)
        if rows := {label: row for label, row in study.optimizers.items() if label not in gone}:
            study = study.model_copy(update={"optimizers": rows})
        else:
            lines = []
        problems = [message for fit in fits for message in study._problems(fit)]
        if study.settle == 1:
            problems.append("settle: expected 0 (off) or at least 2 groups of runs, got 1")
        if study.rollout_timeout is not None and study.evaluator != "pool":
            problems.append(
                "rollout_timeout: only a pool of processes can end a rollout; set evaluator = 'pool'"
            )
        if problems:
            raise StudyError(problems)
        return study, lines

    def task(self, name: str, find: Callable[[str], Task] = find_task) -> Task:
        """A task with the study's choices applied; with `find=known_task` nothing is imported for it."""
        task, choice = find(name), self.tasks[name]
        return dataclasses.replace(
            task,
            policy=choice.policy or self.policy or task.policy,
            deploy=choice.deploy or task.deploy,
            max_episode_steps=choice.max_episode_steps or task.max_episode_steps,
            env={**task.env, **(choice.env or {})},
            wrappers=task.wrappers if choice.wrappers is None else tuple(choice.wrappers),
            references={} if choice.env or choice.wrappers else task.references,  # of another environment
            failure_return=task.failure_return if choice.failure_return is None else choice.failure_return,
        )

    def budget(self, task: str) -> Budget:
        """What a search on this task may spend."""
        limits = self.tasks[task]
        if limits.rollouts is None and limits.steps is None:
            return Budget(self.rollouts, self.steps)
        return Budget(limits.rollouts, limits.steps)

    def limits(self, task: str) -> Limits:
        """What ends a search on this task before its budget is spent."""
        target = self.tasks[task].target
        return Limits(self.hours, self.target if target is None else target)

    def grid(self, task: str) -> tuple[Literal["rollouts", "steps"], list[int]]:
        """The unit of the budget, and the amounts at which curves are reported."""
        budget = self.budget(task)
        unit: Literal["rollouts", "steps"] = "steps" if budget.rollouts is None else "rollouts"
        limit = budget.steps if budget.rollouts is None else budget.rollouts
        return unit, [(limit or 0) * i // self.curve_points for i in range(self.curve_points + 1)]

    def references(self, task: str) -> tuple[float, float] | None:
        """The returns that become 0 and 1, if the study or the task declares them."""
        choice = self.tasks[task]
        return choice.normalise or (None if choice.env or choice.wrappers else known_task(task).normalise)

    @property
    def max_runs(self) -> int:
        """The most runs that a row can have."""
        return self.runs * max(self.settle, 1)

    def optimizer(self, task: str, label: str) -> Optimizer:
        """A configured optimizer, with the study's episodes per candidate on this task."""
        choice, options = self.optimizers[label], self.tasks[task].options.get(label, {})
        optimizer = choice.model_copy(update={"options": choice.options | options}).build()
        episodes = self.tasks[task].episodes_per_candidate or self.episodes_per_candidate
        return Repeated(optimizer, episodes) if episodes > 1 else optimizer

    def problem(self, task: str, label: str, run: int, threads: int = 1) -> Problem:
        """The search of one run, with what evaluates it.

        Raises:
            ValueError: if task, policy and evaluator do not go together.
        """
        return make_problem(
            self.task(task),
            self.optimizer(task, label),
            whitened=self.optimizers[label].whitened,
            seed=self.seed,
            run=run,
            evaluator=self.evaluator,
            threads=threads,
            timeout=self.rollout_timeout,
        )

    def plug_ins(self) -> dict[str, str]:
        """Modules and versions of the tasks, policies and methods that are no part of this package."""
        found: dict[str, str] = {}
        for name in self.tasks:
            found |= self.task(name).plug_ins()
        for choice in self.optimizers.values():
            found |= OPTIMIZERS.versions(choice.method)
        return found

    def document(self) -> dict[str, Any]:
        """The study as plain data in the form of a study file, every default spelled out."""
        data = self.model_dump(exclude_none=True, exclude={"optimizers"})
        rows = {label: row_of(choice) for label, choice in self.optimizers.items()}
        return {**{k: v for k, v in data.items() if k != "tasks"}, "tasks": data["tasks"], "optimizers": rows}

    def first_cost(self, task: str, label: str) -> int:
        """Rollouts of the first generation of a search.

        Raises:
            ValueError: if task, policy, method and evaluator do not go together.
        """
        problem = self.problem(task, label, run=0)
        problem.evaluator.close()
        return next(problem.optimizer.search(problem.domain, stream(0))).cost

    def _fit(self, name: str) -> Fit:
        """How the rows fit this task."""
        task, fit = self.task(name), Fit(name, self.budget(name).rollouts)
        try:
            make_evaluator(task, task.make_policy(), kind=self.evaluator).close()
        except ValueError as error:
            return dataclasses.replace(fit, problem=str(error))
        for label in self.optimizers:
            try:
                fit.costs[label] = self.first_cost(name, label)
            except ValueError as error:
                fit.unfit[label] = str(error)
        return fit

    def _problems(self, fit: Fit) -> list[str]:
        """What cannot work on a task: its options, its environment, its policy, or a row."""
        unknown = [label for label in self.tasks[fit.task].options if label not in self.optimizers]
        rows = ", ".join(self.optimizers)
        wrong = f"tasks.{fit.task}.options: {', '.join(unknown)}: not in the comparison, which has {rows}"
        return ([wrong] if unknown else []) + fit.problems(self.optimizers)
