"""The study: what is compared with what, as one validated model that a TOML file or the flags fill.

`Study.resolve` reports every mistake at once, each with its place, what was expected and what was given.
"""

import dataclasses
import difflib
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from policysearch.core import Optimizer
from policysearch.optimizers import OPTIMIZERS, Repeated
from policysearch.search import Budget
from policysearch.seeding import stream
from policysearch.tasks import (
    EvaluatorKind,
    Problem,
    Task,
    find_task,
    make_evaluator,
    make_problem,
    misfit,
    parse_policy,
)

#: What `python -m policysearch.compare` runs when nothing is asked for.
QUICK: dict[str, Any] = {
    "tasks": {"CartPole-v1": {}, "lqr": {}},
    "optimizers": {**{name: {} for name in OPTIMIZERS}, "whitened:ars": {}},
    "rollouts": 300,
    "runs": 10,
}

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class StudyError(ValueError):
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

    model_config = _STRICT
    policy: Annotated[str, AfterValidator(_policy)] | None = None
    deploy: Literal["mode", "sample"] | None = None
    rollouts: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    episodes_per_candidate: int | None = Field(None, ge=1)
    max_episode_steps: int | None = Field(None, ge=1)
    normalise: tuple[float, float] | None = None  # returns that become 0 and 1 in profiles and targets
    options: dict[str, dict[str, Any]] = {}  # hyperparameters of rows, by label, on this task only

    @field_validator("normalise")
    @classmethod
    def _increasing(cls, pair: tuple[float, float] | None) -> tuple[float, float] | None:
        if pair is not None and not pair[0] < pair[1]:
            raise ValueError(f"expected [low, high] with low < high, got {list(pair)}")
        return pair


class OptimizerChoice(BaseModel):
    """One row of the comparison: a method, its hyperparameters, and whether observations are whitened."""

    model_config = _STRICT
    method: str
    whitened: bool = False
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check(self) -> "OptimizerChoice":
        self.build()
        return self

    def build(self) -> Optimizer:
        """The configured optimizer.

        Raises:
            ValueError: naming every hyperparameter that is unknown or out of range.
        """
        if self.method not in OPTIMIZERS:
            near = difflib.get_close_matches(self.method, OPTIMIZERS, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(OPTIMIZERS)}"
            raise ValueError(f"unknown optimizer {self.method!r}; {hint}")
        cls = OPTIMIZERS[self.method]
        fields = {f.name: (f.type, f.default) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        model: type[BaseModel] = create_model(cls.__name__, __config__=_STRICT, **fields)  # type: ignore[call-overload]
        try:
            checked = model(**self.options)
        except ValidationError as error:
            raise ValueError("; ".join(_messages(error, known=list(fields)))) from error
        return cls(**{name: getattr(checked, name) for name in fields})


def _task_name(name: str) -> str:
    find_task(name)
    return name


class Study(BaseModel):
    """Everything that decides the numbers of a comparison."""

    model_config = _STRICT
    tasks: dict[Annotated[str, AfterValidator(_task_name)], TaskChoice] = Field(min_length=1)
    optimizers: dict[str, OptimizerChoice] = Field(min_length=1)
    policy: Annotated[str, AfterValidator(_policy)] | None = None
    rollouts: int | None = Field(None, ge=1)  # of a search; 300 unless steps are limited
    steps: int | None = Field(None, ge=1)  # of a search
    episodes_per_candidate: int = Field(1, ge=1)
    runs: int = Field(10, ge=1)
    tune: int = Field(0, ge=0)  # tuning runs per method and task
    settle: int = Field(0, ge=0)  # the most groups of `runs` that are made until all pairs are told apart
    seed: int = Field(0, ge=0)
    report_episodes: int = Field(20, ge=20)
    curve_points: int = Field(10, ge=1)
    evaluator: EvaluatorKind = "auto"
    rollout_timeout: float | None = Field(None, gt=0)  # s; of the pool

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, data: Any) -> Any:
        """Accept a list of names for tasks and optimizers, and hyperparameters beside `method`."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if data.get("rollouts") is None and data.get("steps") is None:
            data["rollouts"] = 300
        for section in ("tasks", "optimizers"):
            names = data.get(section)
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                data[section] = {name: {} for name in names}
        rows = data.get("optimizers")
        if isinstance(rows, dict):
            data["optimizers"] = {label: _choice(label, row) for label, row in rows.items()}
        return data

    @classmethod
    def resolve(cls, data: dict[str, Any]) -> "Study":
        """The checked study.

        Raises:
            StudyError: with every mistake, also those that show only when task, policy and optimizer meet.
        """
        try:
            study = cls(**data)
        except ValidationError as error:
            raise StudyError(_messages(error, known=list(cls.model_fields))) from error
        problems = [message for name in study.tasks for message in study._misfits(name)]
        if study.settle == 1:
            problems.append("settle: expected 0 (off) or at least 2 groups of runs, got 1")
        if study.rollout_timeout is not None and study.evaluator != "pool":
            problems.append(
                "rollout_timeout: only a pool of processes can end a rollout; set evaluator = 'pool'"
            )
        if problems:
            raise StudyError(problems)
        return study

    def task(self, name: str) -> Task:
        """A task with the study's choices applied."""
        task, choice = find_task(name), self.tasks[name]
        return dataclasses.replace(
            task,
            policy=choice.policy or self.policy or task.policy,
            deploy=choice.deploy or task.deploy,
            max_episode_steps=choice.max_episode_steps or task.max_episode_steps,
        )

    def budget(self, task: str) -> Budget:
        """What a search on this task may spend."""
        limits = self.tasks[task]
        if limits.rollouts is None and limits.steps is None:
            return Budget(self.rollouts, self.steps)
        return Budget(limits.rollouts, limits.steps)

    def grid(self, task: str) -> tuple[Literal["rollouts", "steps"], list[int]]:
        """The unit of the budget, and the amounts at which curves are reported."""
        budget = self.budget(task)
        unit: Literal["rollouts", "steps"] = "steps" if budget.rollouts is None else "rollouts"
        limit = budget.steps if budget.rollouts is None else budget.rollouts
        return unit, [(limit or 0) * i // self.curve_points for i in range(self.curve_points + 1)]

    def references(self, task: str) -> tuple[float, float] | None:
        """The returns that become 0 and 1, if the study or the task declares them."""
        return self.tasks[task].normalise or find_task(task).normalise

    @property
    def most_runs(self) -> int:
        """The most runs that a row can have."""
        return self.runs * max(self.settle, 1)

    def optimizer(self, task: str, label: str) -> Optimizer:
        """A configured optimizer, with the study's episodes per candidate on this task."""
        choice, options = self.optimizers[label], self.tasks[task].options.get(label, {})
        optimizer = OptimizerChoice(method=choice.method, options=choice.options | options).build()
        episodes = self.tasks[task].episodes_per_candidate or self.episodes_per_candidate
        return Repeated(optimizer, episodes) if episodes > 1 else optimizer

    def misfits(self) -> dict[str, str]:
        """The rows whose method cannot search the policy of some task, and why."""
        policies = {name: self.task(name).make_policy() for name in self.tasks}
        return {
            label: f"on {name}: {reason}"
            for label, choice in self.optimizers.items()
            for name, policy in policies.items()
            if (reason := misfit(policy, choice.build(), whitened=choice.whitened))
        }

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

    def document(self) -> dict[str, Any]:
        """The study as plain data in the form of a study file, every default spelled out."""
        data = self.model_dump(exclude_none=True, exclude={"optimizers"})
        rows = {label: _row(label, choice) for label, choice in self.optimizers.items()}
        return {**{k: v for k, v in data.items() if k != "tasks"}, "tasks": data["tasks"], "optimizers": rows}

    def _misfits(self, name: str) -> list[str]:
        """What cannot work on this task: its environment, its policy, or a generation over the budget."""
        task, problems = self.task(name), []
        unknown = [label for label in self.tasks[name].options if label not in self.optimizers]
        if unknown:
            problems.append(
                f"tasks.{name}.options: {', '.join(unknown)}: not in the comparison, which has "
                f"{', '.join(self.optimizers)}"
            )
        try:
            make_evaluator(task, task.make_policy(), kind=self.evaluator).close()
        except ValueError as error:
            return [*problems, f"tasks.{name}: {error}"]
        too_large: dict[str, int] = {}
        limit = self.budget(name).rollouts
        for label in self.optimizers:
            try:
                problem = self.problem(name, label, run=0)
                cost = next(problem.optimizer.search(problem.domain, stream(0))).cost
                problem.evaluator.close()
            except ValueError as error:
                problems.append(f"{label} on {name}: {error}")
                continue
            if limit is not None and cost > limit:
                too_large[label] = cost
        if too_large:
            costs = ", ".join(f"{label} ({cost})" for label, cost in too_large.items())
            problems.append(
                f"tasks.{name}: a budget of {limit} rollouts is smaller than one generation of "
                f"{costs}; raise --rollouts or set smaller populations"
            )
        return problems


def _choice(label: str, row: Any) -> Any:
    """The `OptimizerChoice` behind one entry: the label is the method unless it says otherwise."""
    if not isinstance(row, dict):
        return row
    options = {key: value for key, value in row.items() if key not in ("method", "whitened")}
    prefix, _, name = label.rpartition(":")
    whitened = row.get("whitened", prefix == "whitened")
    method = row.get("method", name if prefix == "whitened" else label)
    return {"method": method, "whitened": whitened, "options": options}


def _row(label: str, choice: OptimizerChoice) -> dict[str, Any]:
    """The inverse of `_choice`, every hyperparameter spelled out except None, which TOML does not have."""
    given = dataclasses.asdict(choice.build())  # type: ignore[call-overload]
    row = {name: value for name, value in given.items() if value is not None}
    return {"method": choice.method, "whitened": choice.whitened, **row}


def _messages(error: ValidationError, known: list[str]) -> list[str]:
    """Pydantic's findings as `place: what was expected, what was given`."""
    lines = []
    for finding in error.errors():
        place = ".".join(str(part) for part in finding["loc"] if part not in ("[key]",))
        if finding["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(finding["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            lines.append(f"{place}: not an option; {hint}")
            continue
        message = finding["msg"].removeprefix("Value error, ")
        given = finding["input"]
        plain = finding["type"] != "value_error" and isinstance(given, str | int | float)
        shown = f", got {given!r}" if plain else ""
        lines.append(f"{place}: {message}{shown}" if place else message)
    return lines
