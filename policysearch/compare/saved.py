"""Files of saved parameters: what a policy needs to run again, and what it returned.

A study writes `recommendations.npz` and, if episodes failed, `failures.npz`. The entries of a file:

    header    text, JSON: format; param_names, lists of names; entries, a header per saved vector, whose
              param_names is the place of its list
    0, 1, …   the parameters of each vector, in the order of the headers

A path may continue inside a file, as in `recommendations.npz/CartPole-v1/cma-es/3`. Files of earlier versions
hold one vector, in the entries `header` and `params`. Files are read without pickle.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import policysearch
from policysearch.core import Array, Policy, StochasticPolicy
from policysearch.deploy import files
from policysearch.evaluators import Runner, wrappers
from policysearch.registry import check_trusted
from policysearch.tasks import (
    EvaluatorKind,
    Task,
    find_task,
    make_evaluator,
    outside,
)

RECOMMENDATIONS_FILE, FAILURES_FILE = "recommendations.npz", "failures.npz"
#: The largest place of a candidate or an episode that a file may name.
MAX_INDEX = 100_000
#: The most steps of an episode that a file may ask for.
MAX_STEPS = 10_000_000


class FailedEpisode(BaseModel):
    """Which episode failed, and why: what `Evaluator.evaluate` needs to repeat it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: tuple[int | str, ...]
    candidate: int = Field(ge=0, le=MAX_INDEX)
    episode: int = Field(ge=0, le=MAX_INDEX)
    sample: bool
    reason: str
    number: int = Field(default=0, ge=0, le=MAX_INDEX)  # of this example among those of its run


class Header(BaseModel):
    """What a saved parameter vector is, and what it achieved."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")
    format: Literal["policysearch recommendation 1"] = "policysearch recommendation 1"
    version: str = policysearch.__version__
    task: str
    env_id: str
    policy: str
    deploy: Literal["mode", "sample"]
    max_episode_steps: int = Field(ge=0, le=MAX_STEPS)
    evaluator: EvaluatorKind = "auto"
    common_random_numbers: bool = True
    person: str | None = None
    env: dict[str, Any] | None = None  # arguments of the environment's constructor
    wrappers: tuple[dict[str, Any], ...] | None = None  # around it, the innermost first
    stochastic: bool  # whether the parameters are those of the stochastic policy or of its mode
    optimizer: str
    seed: int
    run: int
    report_episodes: int = Field(ge=0, le=MAX_INDEX)
    final_return: float
    final_return_se: float
    failure_return: float | None = None  # what failed episodes count as, if some did and it is declared
    failed_episodes: int | None = Field(default=None, ge=0, le=MAX_INDEX)  # of the report's; None: not kept
    param_names: tuple[str, ...]
    form: str | None = None  # of the policy, as JSON: see `policysearch.deploy.forms`
    failed: FailedEpisode | None = None

    @property
    def place(self) -> files.Name:
        """Task, method and run, of a failed episode its number too."""
        number = None if self.failed is None else self.failed.number
        return files.Name(self.task, self.optimizer, self.run, number)

    @property
    def name(self) -> str:
        """TASK/METHOD/RUN, of a failed episode TASK/METHOD/RUN/NUMBER."""
        return str(self.place)

    def check_trusted(self) -> None:
        """Check that the environment and the policy are parts of policysearch, or were asked for.

        Raises:
            NotTrusted: naming the modules that would have to be imported.
        """
        check_trusted(self.name, outside(self.task if self.person else self.env_id, self.policy))
        check_trusted(self.name, wrappers.outside(self.wrappers or ()))

    def task_with_environment(self) -> Task:
        """The task; what the file names is imported for it.

        Raises:
            NotTrusted: naming the modules that would have to be imported.
        """
        self.check_trusted()
        return Task(
            self.task,
            self.env_id,
            self.policy,
            self.deploy,
            self.max_episode_steps,
            common_random_numbers=self.common_random_numbers,
            person=find_task(self.task).person if self.person else None,
            env=self.env or {},
            wrappers=self.wrappers or (),
        )

    def make_policy(self) -> Policy:
        """The policy whose parameters these are."""
        policy = self.task_with_environment().make_policy()
        return policy.mode if isinstance(policy, StochasticPolicy) and not self.stochastic else policy

    def make_evaluator(self) -> Runner:
        """The evaluator that reported the return.

        Raises:
            ValueError: if the environment cannot be made.
        """
        who = (self.seed, "person", self.task, self.run)
        try:
            return make_evaluator(
                self.task_with_environment(), self.make_policy(), kind=self.evaluator, key=who
            )
        except (gymnasium.error.Error, TypeError, OverflowError) as error:
            why = f"{type(error).__name__}: {error}"
            raise ValueError(f"{self.task}: the environment {self.env_id!r} cannot be made: {why}") from error


class Contents(BaseModel):
    """The header of a file with any number of saved vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["policysearch recommendations 1"] = "policysearch recommendations 1"
    param_names: list[tuple[str, ...]]
    entries: list[dict[str, Any]]

    @classmethod
    def of(cls, headers: Iterable[Header]) -> "Contents":
        """With every list of parameter names once."""
        places: dict[tuple[str, ...], int] = {}
        entries = []
        for header in headers:
            text = header.model_dump_json(exclude={"format", "param_names"}, exclude_none=True)
            place = places.setdefault(header.param_names, len(places))
            entries.append(json.loads(text) | {"param_names": place})
        return cls(param_names=list(places), entries=entries)

    def headers(self) -> list[Header]:
        """The header of every vector."""
        return [
            Header(**entry | {"param_names": self.param_names[entry["param_names"]]})
            for entry in self.entries
        ]


def write(path: Path, saved: Sequence[tuple[Header, Array]]) -> Path:
    """Write saved vectors to one file atomically; the same vectors give the same bytes."""
    text = Contents.of(header for header, _ in saved).model_dump_json()
    return files.write(path, text, [params for _, params in saved])


def load(path: Path) -> tuple[Header, Float[Array, "d"]]:
    """Header and parameters of a saved vector.

    Args:
        path: of a file, followed by the name of the vector, or by a part of the name that no other has:
            `DIR/recommendations.npz/TASK/METHOD/RUN`. The file alone, if it holds one vector.

    Raises:
        ValueError: if the file is missing or is not one of saved vectors, if the path fits no vector or
            several, or if the parameters do not fit their header.
    """
    with _refusing(path):
        file = files.file_of(path)
        headers = _headers(file)
    names = {entry: header.place for entry, header in headers.items()}
    entry = files.chosen(names, file, path.relative_to(file))
    return _vectors(file, {entry: headers[entry]})[0]


def load_all(file: Path) -> list[tuple[Header, Array]]:
    """All headers and parameters of a file.

    Raises:
        ValueError: if the file is missing or is not one of saved vectors, or if parameters do not fit their header.
    """
    with _refusing(file):
        headers = _headers(file)
    return _vectors(file, headers)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Whatever is wrong with a file, as a ValueError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except ValidationError as error:
        finding = error.errors()[0]
        raise ValueError(f"{path}: header: {'.'.join(map(str, finding['loc']))}: {finding['msg']}") from error
    except Exception as error:
        raise ValueError(f"{path}: expected a saved recommendation (.npz), got: {error}") from error


def _headers(file: Path) -> dict[str, Header]:
    """The header of every vector, by the entry that holds its parameters."""
    data = json.loads(str(files.entries(file, ["header"])[0]))
    if data.get("format") == Header.model_fields["format"].default:
        return {"params": Header(**data)}
    return {str(i): header for i, header in enumerate(Contents(**data).headers())}


def _vectors(file: Path, headers: dict[str, Header]) -> list[tuple[Header, Array]]:
    with _refusing(file):
        vectors = [np.array(entry, dtype=float) for entry in files.entries(file, headers)]
    for header, params in zip(headers.values(), vectors, strict=True):
        if params.shape != (len(header.param_names),):
            raise ValueError(
                f"{file}: expected {len(header.param_names)} parameters, got shape {params.shape}"
            )
    return list(zip(headers.values(), vectors, strict=True))


def relative(file: str, folder: Path) -> str:
    """A file's name as seen from a folder, if it lies below it."""
    path = Path(file)
    below = path.is_absolute() and path.is_relative_to(folder.absolute())
    return str(path.relative_to(folder.absolute())) if below else file
