"""How functions of users are called."""
# ruff: noqa: PLW0108 - the signatures of these lambdas are what is tested

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from policysearch.evaluators.calls import adapted
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune

VALUES = {"kp": 1.0, "ki": 2.0}
ALL, SEED, CUTOFF = dict(VALUES), 7, 9.0  # what a call gives


def seen(*args: Any, **named: Any) -> Any:
    return (args, named)


def with_default(gains: Any, dt: float = 0.01) -> Any:
    return seen(gains, dt)


def with_switches(gains: Any, verbose: bool = False, plot: bool = False) -> Any:
    return seen(gains, verbose, plot)


def by_keyword(params: Any, dt: float = 0.01, *, seed: int) -> Any:
    return seen(params, dt, seed)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return wrapper


def undecorated(*args: Any, **named: Any) -> Any:
    return seen(*args, **named)


class Plant:
    def __init__(self) -> None:
        self.load = 2.0

    def __call__(self, gains: Any) -> Any:
        return seen(gains, self.load)

    def cost(self, gains: Any, dt: float = 0.01, seed: int = 0) -> Any:
        return seen(gains, dt, seed)

    @staticmethod
    def still(gains: Any, s: int) -> Any:
        return seen(gains, s)


class Unknown:
    """As a function of an extension module whose signature is not known."""

    __signature__ = "none"

    def __call__(self, *args: Any) -> Any:
        return seen(*args)


def positional(params: Any, seed: int = 0, /) -> Any:
    return seen(params, seed)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda params, seed: seen(params, seed), seen(ALL, SEED)),
        (lambda p, s: seen(p, s), seen(ALL, SEED)),
        (lambda p, seed=None: seen(p, seed), seen(ALL, SEED)),
        (lambda p, dt=0.1, seed=None: seen(p, dt, seed), seen(ALL, 0.1, SEED)),
        (lambda p, cutoff, seed: seen(p, cutoff, seed), seen(ALL, CUTOFF, SEED)),
        (lambda p, seed, cutoff: seen(p, seed, cutoff), seen(ALL, SEED, CUTOFF)),
        (lambda p, s, hopeless: seen(p, s, hopeless), seen(ALL, SEED, CUTOFF)),
        (lambda p, cutoff: seen(p, cutoff), seen(ALL, CUTOFF)),
        (lambda p: seen(p), seen(ALL)),
        (lambda p, **_: seen(p), seen(ALL)),
        (with_default, seen(ALL, 0.01)),
        (with_switches, seen(ALL, False, False)),
        (by_keyword, seen(ALL, 0.01, SEED)),
        (positional, seen(ALL, SEED)),
        (decorated(with_default), seen(ALL, 0.01)),
        (undecorated, seen(ALL, SEED)),
        (lambda *args: seen(*args), seen(ALL, SEED)),
        (lambda p, *args: seen(p, *args), seen(ALL, SEED)),
        (lambda p, dt=0.1, *args: seen(p, dt, *args), seen(ALL, 0.1)),
        (functools.partial(with_default, dt=0.2), seen(ALL, 0.2)),
        (functools.partial(by_keyword, seed=3), seen(ALL, 0.01, 3)),
        (functools.partial(lambda load, p, seed: seen(load, p, seed), 5.0), seen(5.0, ALL, SEED)),
        (Plant(), seen(ALL, 2.0)),
        (Plant().cost, seen(ALL, 0.01, SEED)),
        (Plant.still, seen(ALL, SEED)),
        (Unknown(), seen(ALL, SEED)),
        (lambda kp, ki: seen(kp, ki), seen(1.0, 2.0)),
        (lambda ki, kp: seen(ki, kp), seen(2.0, 1.0)),
        (lambda kp, ki, seed: seen(kp, ki, seed), seen(1.0, 2.0, SEED)),
        (lambda seed, kp, ki: seen(seed, kp, ki), seen(SEED, 1.0, 2.0)),
        (lambda kp, ki, dt=0.1, cutoff=0.0: seen(kp, ki, dt, cutoff), seen(1.0, 2.0, 0.1, CUTOFF)),
        (lambda kp=5.0, *, ki=6.0: seen(kp, ki), seen(1.0, 2.0)),
        (lambda **params: seen(**params), seen(**VALUES)),
        (lambda *, seed, **params: seen(seed, **params), seen(SEED, **VALUES)),
        (lambda kp, **rest: seen(kp, **rest), seen(1.0, ki=2.0)),
        (lambda kp, s: seen(kp, s), seen(ALL, SEED)),  # the name of the first does not matter, if the seed is wanted
    ],
)  # fmt: skip
def test_a_function_is_called_as_its_signature_says(function: Callable[..., Any], expected: Any) -> None:
    assert adapted(function, list(VALUES))(dict(VALUES), SEED, CUTOFF) == expected


def annotated(x: float) -> Any:
    return seen(x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (annotated, seen(1.5)),
        (lambda x=0.0: seen(x), seen(1.5)),
        (lambda *, x: seen(x), seen(1.5)),
        (lambda **params: seen(**params), seen(x=1.5)),
        (lambda x, seed: seen(x, seed), seen({"x": 1.5}, SEED)),  # as before there were other signatures
        (lambda params: seen(params), seen({"x": 1.5})),
    ],
)
def test_a_single_parameter_is_a_number_where_the_signature_says_so(
    function: Callable[..., Any], expected: Any
) -> None:
    assert adapted(function, ["x"])({"x": 1.5}, SEED, CUTOFF) == expected


def test_a_parameter_of_the_space_may_be_called_cutoff() -> None:
    names = ("kp", "cutoff")
    call = adapted(lambda kp, cutoff: seen(kp, cutoff), names)
    assert call({"kp": 1.0, "cutoff": 30.0}, SEED, CUTOFF) == seen(1.0, 30.0)
    call = adapted(lambda params, seed, cutoff: seen(params["cutoff"], seed, cutoff), names)
    assert call({"kp": 1.0, "cutoff": 30.0}, SEED, CUTOFF) == seen(30.0, SEED, CUTOFF)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda: 0.0, "f()"),
        (lambda p, dt, n: 0.0, "f(p, dt, n)"),
        (lambda p, *, dt: 0.0, "f(p, *, dt)"),
        (lambda sim, kp, ki: 0.0, "f(sim, kp, ki)"),
        (lambda kp, ki, kd: 0.0, "f(kp, ki, kd)"),
        (lambda p, ki: 0.0, "f(p, ki)"),
        (lambda seed: 0.0, "f(seed)"),
        (lambda seed, p: 0.0, "f(seed, p)"),
        (lambda *, kp: 0.0, "f(*, kp)"),
        (lambda kp, /, ki: 0.0, "f(kp, /, ki)"),
        (lambda kp: 0.0, "f(kp); annotate kp as a float, or call it params"),
    ],
)
def test_a_signature_that_leaves_open_what_is_meant_is_refused(
    function: Callable[..., Any], got: str
) -> None:
    with pytest.raises(ValueError, match="function: ") as caught:
        adapted(function, list(VALUES))
    assert str(caught.value) == f"function: expected f(params, seed), f(params) or f(kp, ki), got {got}"


async def later(params: Mapping[str, float], seed: int) -> float:
    return 0.0


def test_a_coroutine_function_is_refused() -> None:
    with pytest.raises(
        ValueError, match="function: expected one that returns its result, got a coroutine function"
    ):
        adapted(later, ["kp"])


def step(kp: float, ki: float, dt: float = 0.01) -> float:
    return (kp - 3.0) ** 2 + (ki - 1.0) ** 2 + (0.0 if dt == 0.01 else math.inf)


def test_every_way_to_write_a_cost_gives_the_same_tuning() -> None:
    space = Space((Parameter("kp", 1.0, 0.0, 10.0), Parameter("ki", 0.5, 0.0, 10.0)))
    ways: list[Callable[..., Any]] = [
        lambda p, seed: step(p["kp"], p["ki"]),
        lambda gains, dt=0.01: step(gains["kp"], gains["ki"], dt),
        lambda **params: step(**params),
        step,
    ]
    results = [tune(way, space, rollouts=20, goal="minimise", report_rollouts=2) for way in ways]
    assert len({str(result) for result in results}) == 1
    assert results[0].improvement[0] > 0.0
    with pytest.raises(ValueError, match="got f\\(params, ki\\)"):
        tune(lambda params, ki: 0.0, space, rollouts=20)
