"""The public checks of a method: each finds the fault that it is for, and says so in words."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.core import Domain, Proposal, Search
from policysearch.testing import check_optimizer, optimizer_checks


@dataclass(frozen=True)
class Climber:
    """The best so far and steps from it; the faulty ones below differ in one thing."""

    sigma: float = 0.3

    def step(self, x: Any, domain: Domain, rng: Any) -> Any:
        return np.vstack([x, domain.clip(x + self.sigma * rng.standard_normal((4, x.size)))])

    def value(self, evaluation: Any) -> Any:
        return evaluation.fitness

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        best, known = domain.start, -np.inf
        while True:
            candidates = self.step(best, domain, rng)
            evaluation = yield Proposal(candidates, best)
            i = int(evaluation.ranking()[0])
            if self.value(evaluation)[i] > known:
                best, known = candidates[i], self.value(evaluation)[i]


@dataclass
class Thawed:
    sigma: float = 0.3
    search = Climber.search
    step, value = Climber.step, Climber.value


class Misspelt(Climber):
    tunable = {"sgima": (0.1, 1.0)}  # noqa: RUF012


class Backwards(Climber):
    tunable = {"sigma": (1.0, 0.1)}  # noqa: RUF012


@dataclass(frozen=True)
class Callback(Climber):
    on_step: Any = field(default=print)


class Sampling(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        while True:
            yield Proposal(domain.start[None], domain.start, sample=True)


class Unseeded(Climber):
    def step(self, x: Any, domain: Domain, rng: Any) -> Any:
        return super().step(x, domain, np.random.default_rng())


class Deaf(Climber):
    def step(self, x: Any, domain: Domain, rng: Any) -> Any:
        return np.tile(domain.start, (4, 1))


COUNT = [0]


class Remembering(Climber):
    def step(self, x: Any, domain: Domain, rng: Any) -> Any:
        COUNT[0] += 1
        return super().step(x, domain, rng) + COUNT[0]


class Sorting(Climber):
    def value(self, evaluation: Any) -> Any:
        evaluation.returns.sort(axis=0)
        return evaluation.fitness


class Retaining(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        told: Any = []
        while True:
            scale = 1 / (1 + sum(abs(returns.sum()) for returns in told))
            evaluation = yield Proposal(scale * self.step(domain.start, domain, rng), domain.start)
            told.append(evaluation.returns)


class Eager(Climber):
    def step(self, x: Any, domain: Domain, rng: Any) -> Any:
        return super().step(x, domain, rng)[1:]


class Absolute(Climber):
    def value(self, evaluation: Any) -> Any:
        return np.round(evaluation.fitness, 9)


class Converging(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        search = super().search(domain, rng)
        proposal = next(search)
        while True:
            evaluation = yield proposal
            proposal = search.send(evaluation)
            if np.isfinite(evaluation.returns).all() and np.ptp(evaluation.returns) < 1e-9:
                return proposal.recommendation


class Squaring(Climber):
    def value(self, evaluation: Any) -> Any:
        return -(evaluation.fitness**2)


class Narrowing(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        best, known, scale = domain.start, -np.inf, 1.0
        while True:
            candidates = best + scale * (self.step(best, domain, rng) - best)
            evaluation = yield Proposal(candidates, best)
            scale *= 1.0 if np.ptp(evaluation.fitness) > 0 else 0.1
            i = int(evaluation.ranking()[0])
            if evaluation.fitness[i] > known:
                best, known = candidates[i], evaluation.fitness[i]


class Paired(Climber):
    def step(self, x: Any, domain: Domain, rng: Any) -> Any:
        steps = super().step(x, domain, rng)
        steps[:, 1] += 0.0
        return steps


class Forward(Climber):
    def step(self, x: Any, domain: Domain, rng: Any) -> Any:
        return np.vstack([x, domain.clip(x + self.sigma * np.abs(rng.standard_normal((4, x.size))))])


class Excusing(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        while True:
            candidates = self.step(domain.start, domain, rng)
            evaluation = yield Proposal(candidates, domain.start)
            while not np.isfinite(evaluation.returns).any():
                evaluation = yield Proposal(self.step(domain.start, domain, rng), candidates[1])


class Legacy(Climber):
    def step(self, x: Any, domain: Domain, rng: Any) -> Any:
        return domain.clip(x + self.sigma * np.random.standard_normal((4, x.size)))  # noqa: NPY002


class Free(Proposal):
    cost = 0  # type: ignore[assignment] # in truth 4


class Spending(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        while True:
            yield Free(self.step(domain.start, domain, rng), domain.start)


class Unbounded(Climber):
    def step(self, x: Any, domain: Domain, rng: Any) -> Any:
        return x + self.sigma * rng.standard_normal((4, x.size))


class Averaging(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        mean = domain.start
        while True:
            candidates = self.step(mean, domain, rng)
            evaluation = yield Proposal(candidates, mean)
            weights = evaluation.returns - evaluation.returns.min()
            mean = domain.clip((weights * candidates).sum(axis=0) / weights.sum())


class Quitting(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        evaluation = yield Proposal(self.step(domain.start, domain, rng), domain.start)
        while np.isfinite(evaluation.returns).any():
            evaluation = yield Proposal(self.step(domain.start, domain, rng), domain.start)
        return domain.start


class Insisting(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        yield Proposal(self.step(domain.start, domain, rng), domain.start)
        try:
            yield Proposal(self.step(domain.start, domain, rng), domain.start)
        finally:
            yield Proposal(self.step(domain.start, domain, rng), domain.start)


class Scalar(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        yield Proposal(self.step(domain.start, domain, rng), domain.start)
        yield Proposal(self.step(domain.start, domain, rng), domain.start)
        return np.float64(1.0)  # type: ignore[return-value]


class Latest(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        candidates = domain.start[None]
        while True:
            recommendation = candidates[-1]
            candidates = self.step(domain.start, domain, rng)
            yield Proposal(candidates, recommendation)


class Minimising(Climber):
    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        worst, known = domain.start, np.inf
        while True:
            candidates = self.step(worst, domain, rng)
            evaluation = yield Proposal(candidates, worst)
            i = int(evaluation.ranking()[-1])
            if evaluation.fitness[i] < known:
                worst, known = candidates[i], evaluation.fitness[i]


FAULTS = [
    (Thawed, "hyperparameters", "expected a frozen dataclass, got <class"),
    (Misspelt, "hyperparameters", "expected tunable hyperparameters that are fields, got sgima"),
    (Backwards, "hyperparameters", "expected tunable ranges with 0 < low < high, got {'sigma': (1.0, 0.1)}"),
    (Callback, "hyperparameters", "expected hyperparameters of plain data, got expected plain data"),
    (
        Sampling,
        "needs",
        "expected needs = Needs(scores=True) where actions are drawn or rollouts kept, got Needs(",
    ),
    (Unseeded, "seeds", "expected the same proposals, got another one in generation [0]"),
    (Deaf, "seeds", "expected other proposals with another seed, got the same"),
    (Remembering, "replay", "expected the same proposals, got another one in generation [0]"),
    (Sorting, "arguments", "expected no error, got ValueError: sort array is read-only"),
    (Retaining, "aliasing", "expected the same proposals, got another one in generation ["),
    (Legacy, "global randomness", "expected an unchanged global generator, got another state"),
    (Spending, "budget", "expected "),
    (Unbounded, "bounds", "expected parameters from [0. 0. 0. 0.] to [1. 1. 1. 1.], got "),
    (Averaging, "failed episodes", "expected finite parameters, got "),
    (Averaging, "equal returns", ""),
    (Eager, "equal returns", "expected the start where all returns are 3.0, got ["),
    (Converging, "equal returns", "expected a search that continues where all returns are 3.0, got one that"),
    (Converging, "unit of returns", "expected 21 proposals with returns × 1e-12, got 1"),
    (Absolute, "unit of returns", "expected a recommendation that moves with returns × 1e-12, got none"),
    (Squaring, "large returns", "expected no error, got RuntimeWarning: overflow encountered in square"),
    (Narrowing, "plateau", "expected a return above -3.2, got -"),
    (Paired, "one parameter", "expected no error, got IndexError: index 1 is out of bounds"),
    (Forward, "corners", "expected a return above -16, got -"),
    (Excusing, "failed search", "expected the start, as all else has failed, got ["),
    (Quitting, "failed search", "expected a search that is stopped as failed, got one of 1 generations"),
    (Insisting, "ending", "expected no error, got RuntimeError: generator ignored GeneratorExit"),
    (Scalar, "ending", "expected a last recommendation of shape (4,), got 1.0"),
    (Latest, "candidates left out", "expected a measured recommendation, got "),
    (Minimising, "improvement", "expected a return above -3.2, got -"),
]


@pytest.mark.parametrize(
    ("method", "name", "message"), FAULTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_faulty_method_fails_the_check_that_is_for_its_fault(
    method: type[Any], name: str, message: str
) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(AssertionError) as raised:
        dict(optimizer_checks(method))[name]()
    assert str(raised.value).startswith(f"{name}: {message}")


def test_every_check_finds_a_fault_and_a_sound_method_passes_all() -> None:
    names = dict(optimizer_checks(Climber))
    assert {name for _, name, _ in FAULTS} == set(names)
    check_optimizer(Climber)
    check_optimizer(Climber(sigma=0.2))


def test_the_first_fault_ends_the_checks() -> None:
    with pytest.raises(AssertionError, match="failed search: expected the start"):
        check_optimizer(Minimising)


def test_a_class_that_cannot_be_made_or_begins_with_an_error_says_so() -> None:
    @dataclass(frozen=True)
    class Demanding:
        sigma: float

    with pytest.raises(AssertionError, match="start: expected a class with defaults for all hyperparameters"):
        check_optimizer(Demanding)  # type: ignore[arg-type]


def test_the_global_generator_is_left_as_it_was() -> None:
    before: Any = np.random.get_state()  # noqa: NPY002
    dict(optimizer_checks(Climber))["global randomness"]()
    after: Any = np.random.get_state()  # noqa: NPY002
    assert before[1].tolist() == after[1].tolist()
    assert before[2] == after[2]


@pytest.mark.nightly  # by day, the tutorial does
def test_the_example_of_a_method_of_ones_own_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "experiments/own_method")
    check_optimizer(__import__("annealing").Annealing)
    source = Path(sys.modules["annealing"].__file__ or "").read_text(encoding="utf-8")
    body = source.split('"""')[2]
    assert sum(bool(line.strip()) for line in body.splitlines()) <= 25
