"""The table of invariances: what each method is supposed not to notice, and what it does notice."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from problems import ALL, DIRECT, D, Function, proposals, walk

from policysearch.core import Array, Domain, Evaluation, Moments, Optimizer
from policysearch.optimizers import NaturalGradient, Reinforce, Whitened
from policysearch.seeding import stream

#: Whether the proposals stay the same; both "yes" and "no" are tested.
TABLE: dict[str, tuple[str, str, str]] = {
    #                             + constant  × factor  monotone
    "random-search":              ("yes", "yes", "yes"),
    "hill-climbing":              ("yes", "yes", "yes"),
    "nelder-mead":                ("yes", "yes", "yes"),
    "genetic":                    ("yes", "yes", "yes"),
    "cross-entropy":              ("yes", "yes", "yes"),
    "cma-es":                     ("yes", "yes", "yes"),
    "sep-cma-es":                 ("yes", "yes", "yes"),
    "lra-cma-es":                 ("yes", "yes", "yes"),
    "one-plus-one-cma-es":        ("yes", "yes", "yes"),
    "one-plus-one-cma-es again":  ("yes", "yes", "yes"),
    "multi-start":                ("yes", "yes", "yes"),
    "quadratic-model":            ("yes", "yes", "no"),
    "auto":                       ("yes", "yes", "no"),
    "cross-entropy full":         ("yes", "yes", "yes"),
    "snes":                       ("yes", "yes", "yes"),
    "pgpe":                       ("yes", "yes", "no"),
    "finite-difference":          ("yes", "yes", "no"),
    "spsa":                       ("yes", "yes", "no"),
    "evolution-strategy":         ("yes", "yes", "yes"),
    "ars":                        ("yes", "yes", "no"),
    "ars top":                    ("yes", "yes", "no"),
    "cma-es passive":             ("yes", "yes", "yes"),
    "cma-es noise handling":      ("yes", "yes", "yes"),
    "cma-es restarts":            ("yes", "yes", "yes"),
    "finite-difference central":  ("yes", "yes", "no"),
    "finite-difference regression": ("yes", "yes", "no"),
    "genetic truncation":         ("yes", "yes", "yes"),
    "hill-climbing adapt":        ("yes", "yes", "yes"),
    "hill-climbing remembering":  ("yes", "yes", "yes"),
}  # fmt: skip

TRANSFORMS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("constant", lambda y: y + 10.0),
    ("factor", lambda y: 2.0**40 * y),  # 1e12; a power of two: exact in floating point
    ("small factor", lambda y: 2.0**-40 * y),
    ("monotone", lambda y: -np.expm1(-y / 8.0)),
)


def bumpy(params: Array) -> Array:
    """A smooth function without symmetries."""
    weights = np.arange(1.0, params.shape[1] + 1.0)
    return np.asarray(-(((params - 0.7) ** 2) @ weights) + np.sin(3.0 * params @ weights[::-1] / 5.0))


def alike(optimizer: Optimizer, function: Function, other: Function, noise: float = 0.0) -> bool:
    first = proposals(optimizer, 12, function, noise=noise)
    second = proposals(optimizer, 12, other, noise=noise)
    return all(
        np.allclose(a.params, b.params, rtol=1e-7, atol=1e-9) for a, b in zip(first, second, strict=True)
    )


def test_every_method_has_its_row() -> None:
    assert set(TABLE) == set(DIRECT) - {"repeated random-search"}  # a wrapper: its method's row


@pytest.mark.parametrize(("column", "transform"), [*zip((0, 1, 1, 2), TRANSFORMS, strict=True)])
@pytest.mark.parametrize("name", TABLE)
def test_a_method_notices_a_transformation_of_the_returns_as_the_table_says(
    name: str, column: int, transform: tuple[str, Callable[[Array], Array]]
) -> None:
    expected = TABLE[name][column] == "yes"
    assert alike(DIRECT[name], bumpy, lambda x: transform[1](bumpy(x))) == expected


#: Fields that are lengths in parameter space, by method.
LENGTHS = (
    "sigma",
    "edge",
    "radius",
    "mutation_sigma",
    "epsilon",
    "c",
    "first_step",
    "max_step",
    "learning_rate",
    "step_size",
)
#: A common scale of the parameters and of all these lengths changes nothing; but the step_size of finite
#: differences counts in units of epsilon.
SCALE = 4.0


@pytest.mark.parametrize("name", sorted(set(DIRECT) - {"repeated random-search", "evolution-strategy"}))
def test_units_do_not_matter_when_the_lengths_are_scaled_along(name: str) -> None:
    optimizer = DIRECT[name]
    fields = {field.name for field in dataclasses.fields(optimizer)}  # type: ignore[arg-type]
    lengths = {field for field in LENGTHS if field in fields}
    lengths -= {"step_size"} if name.startswith("finite") else set()
    lengths -= {"learning_rate"} if name in ("snes", "pgpe") else set()  # counts in units of sigma
    scaled = dataclasses.replace(optimizer, **{f: SCALE * getattr(optimizer, f) for f in lengths})  # type: ignore[type-var]
    first = proposals(optimizer, 12, bumpy)
    second = proposals(scaled, 12, lambda x: bumpy(x / SCALE))
    for a, b in zip(first, second, strict=True):
        assert b.params == pytest.approx(SCALE * a.params, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", sorted(set(DIRECT)))
def test_where_zero_is_does_not_matter(name: str) -> None:
    if name == "evolution-strategy":  # weight decay pulls towards zero
        optimizer: Optimizer = dataclasses.replace(DIRECT[name], weight_decay=0.0)  # type: ignore[type-var]
    else:
        optimizer = DIRECT[name]
    shift = np.array([1.0, -2.0, 0.5, 3.0])
    first = proposals(optimizer, 12, bumpy)
    second = proposals(optimizer, 12, lambda x: bumpy(x - shift), Domain.unbounded(shift))
    for a, b in zip(first, second, strict=True):
        assert b.params == pytest.approx(a.params + shift, rel=1e-6, abs=1e-6)


def test_weight_decay_knows_where_zero_is() -> None:
    shift = np.full(D, 5.0)
    first = proposals(DIRECT["evolution-strategy"], 12, bumpy)
    second = proposals(DIRECT["evolution-strategy"], 12, lambda x: bumpy(x - shift), Domain.unbounded(shift))
    assert not np.allclose(second[-1].params, first[-1].params + shift, atol=1e-6)


ROTATION = np.linalg.qr(stream(5).standard_normal((D, D)))[0]


def progress(optimizer: Optimizer, rotated: bool, seed: int) -> float:
    """How far 30 generations get on an ellipsoid, along or across the axes."""
    scales = np.array([1.0, 10.0, 100.0, 1000.0])
    turn = ROTATION if rotated else np.eye(D)
    last = proposals(optimizer, 60, lambda x: -(((x - 1.0) @ turn.T) ** 2 @ scales), seed=seed)[-1]
    gap = (last.recommendation - 1.0) @ turn.T
    return float(np.log10(gap**2 @ scales + 1e-300))


@pytest.mark.parametrize(
    ("name", "invariant"),
    [
        pytest.param("cma-es", True, marks=pytest.mark.nightly),
        pytest.param("cross-entropy", False, marks=pytest.mark.nightly),
        pytest.param("cross-entropy full", True, marks=pytest.mark.nightly),
    ],
)
def test_rotation_matters_in_distribution_only_where_the_covariance_is_diagonal(
    name: str, invariant: bool
) -> None:
    along, across = (
        [progress(DIRECT[name], rotated, seed) for seed in range(20)] for rotated in (False, True)
    )
    difference = np.mean(across) - np.mean(along)
    error = np.sqrt((np.var(along) + np.var(across)) / 20)
    assert error < 0.6
    assert (abs(difference) < 4 * error) == invariant


@pytest.mark.parametrize(("baseline", "invariant"), [("step", True), ("mean", True), ("none", False)])
def test_reinforce_ignores_a_bonus_on_the_last_step_with_a_baseline_only(
    baseline: str, invariant: bool
) -> None:
    optimizer = Reinforce(episodes=4, discount=1.0, baseline=baseline)  # type: ignore[arg-type]
    finals = []
    for bonus in (0.0, 64.0):
        evaluator, search = walk(bonus), optimizer.search(Domain.unbounded(np.zeros(4)), stream(1))
        proposal = next(search)
        for turn in range(5):
            proposal = search.send(evaluator.evaluate(proposal, (turn,)))
        finals.append(proposal.params)
    assert np.allclose(*finals, atol=1e-9) == invariant


@pytest.mark.parametrize(
    "name", ["reinforce", "off-policy-reinforce", "natural-gradient", "natural-gradient enac", "trpo", "ppo"]
)
def test_gradient_methods_ignore_the_unit_of_the_returns(name: str) -> None:
    optimizer, finals = ALL[name], []
    for factor in (1.0, 2.0**-60, 2.0**40):  # 1e-18 and 1e12
        evaluator, search = walk(factor=factor), optimizer.search(Domain.unbounded(np.zeros(4)), stream(1))
        proposal = next(search)
        for turn in range(4):
            proposal = search.send(evaluator.evaluate(proposal, (turn,)))
        finals.append(proposal.params)
    assert finals[1] == pytest.approx(finals[0], rel=1e-5, abs=1e-7)
    assert finals[2] == pytest.approx(finals[0], rel=1e-5, abs=1e-7)
    assert np.abs(finals[0]).max() > 1e-4


def test_the_natural_gradient_ignores_the_units_of_the_observations_and_reinforce_does_not() -> None:
    def finals(optimizer: Optimizer) -> list[Array]:
        found = []
        for units in (np.array([1.0, 1.0]), np.array([0.5, 0.125])):
            evaluator, search = walk(units=units), optimizer.search(Domain.unbounded(np.zeros(4)), stream(1))
            proposal = next(search)
            proposal = search.send(evaluator.evaluate(proposal, (0,)))  # later, features are cut
            w_0, w_1, b, log_std = proposal.params[0] * np.append(units, [1.0, 1.0])
            # the two observations are x and 5 + 2x, so only slope and intercept in x are determined
            found.append(np.array([w_0 + 2 * w_1, 5 * w_1 + b, log_std]))
        return found

    plain, scaled = finals(NaturalGradient(episodes=20, damping=0.0, iterations=50))
    assert scaled == pytest.approx(plain, rel=1e-6)
    assert np.abs(plain).max() > 0.05
    plain, scaled = finals(Reinforce(episodes=20, learning_rate=0.05))
    assert np.abs(plain - scaled).max() > 0.1 * np.abs(plain).max()


def test_whitening_makes_a_search_ignore_the_units_of_the_observations_once_seen() -> None:
    # A first generation without effect (all candidates at zero) fills the moments; then ARS steps alike.
    optimizer = ALL["whitened ars"]
    assert isinstance(optimizer, Whitened)
    scale, shift = np.array([8.0, 0.25]), np.array([-3.0, 100.0])
    rng, obs = stream(2), stream(3).standard_normal((50, 2)) * [2.0, 5.0] + [1.0, -4.0]
    returns = rng.standard_normal((16, 1))
    finals = []
    for units in (False, True):
        seen = obs * scale + shift if units else obs
        moments = Moments(50, seen.mean(axis=0), ((seen - seen.mean(axis=0)) ** 2).sum(axis=0))
        search = optimizer.search(Domain.unbounded(np.zeros(4)), stream(1))
        proposal = next(search)
        for _ in range(3):
            evaluation = Evaluation(proposal.params, returns, np.ones((16, 1), dtype=int), moments=moments)
            proposal = search.send(evaluation)
        W, b = proposal.params[:, :2], proposal.params[:, 2:3]
        finals.append(W @ seen.T + b)
    assert finals[1] == pytest.approx(finals[0], rel=1e-6, abs=1e-9)
