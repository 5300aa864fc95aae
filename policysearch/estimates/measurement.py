"""How far estimates of ∇J are from the truth: bias, variance, direction, against the number of rollouts.

For every estimator and every N, `repeats` independent estimates ĝ_1 … ĝ_M are made, each from N rollouts of
its own, and compared with the gradient g of the expected return of the stochastic policy at θ:

    bias    ‖mean ĝ − g‖/‖g‖, next to `noise`, its size for an unbiased estimator, (tr Var ĝ / M)^½/‖g‖
    z       ‖mean ĝ − g‖/(noise ‖g‖): near 1 for an unbiased estimator
    std     (tr Var ĝ)^½/‖g‖
    snr     ‖mean ĝ‖/(tr Var ĝ)^½, the signal-to-noise ratio
    cosine  mean of ĝ·g/(‖ĝ‖‖g‖), with a 95 % interval from its standard error

g is exact where there is a closed form (`TRUTHS`); elsewhere it is the mean of many more rollouts, whose
own error enters `noise`. All score-function estimators see the same rollouts, and the first of those for a
larger N, so their rows are not independent. Estimators that fit a value function are given N more rollouts
of the same policy to fit it on, as in a search, where they are the batch before.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.core import Array, Proposal, Rollout, StochasticPolicy
from policysearch.estimates.options import EstimateOptions
from policysearch.evaluators import Runner
from policysearch.gradients import baselines, score_function
from policysearch.gradients.estimators import FROM_RETURNS, FROM_ROLLOUTS
from policysearch.models.lqr import LQR
from policysearch.models.mdp import MDP
from policysearch.registry import did_you_mean
from policysearch.seeding import Key, stream
from policysearch.simulators import lqr, problems, rock_paper_scissors
from policysearch.tasks import Task, make_evaluator

#: All estimators.
NAMES = [*FROM_ROLLOUTS, *FROM_RETURNS]

#: Parts of the rollouts that stand for the truth, whose spread gives its error.
REFERENCE_PARTS = 40


@dataclass(frozen=True, kw_only=True)
class Request(EstimateOptions):
    """What is measured, and how."""

    task: Task
    params: Array | None = None  # θ; None: where searches start

    def __post_init__(self) -> None:
        unknown = [name for name in self.estimators if name not in NAMES]
        if unknown:
            hint = did_you_mean(unknown[0], NAMES, f"there are {', '.join(NAMES)}")
            raise ValueError(f"estimators: unknown {unknown[0]!r}; {hint}")
        for name, given in (("estimators", self.estimators), ("rollouts", self.rollouts)):
            if len(set(given)) < len(given):
                raise ValueError(f"{name}: expected each once, got {list(given)}")
        if self.reference < 2 * REFERENCE_PARTS:
            raise ValueError(
                f"reference: expected at least {2 * REFERENCE_PARTS} rollouts, got {self.reference}"
            )
        if not self.estimators or not self.rollouts or min(self.rollouts) < 1:
            raise ValueError(
                f"rollouts: expected numbers of at least 1, and estimators, got {self.rollouts}, {self.estimators}"
            )
        if self.repeats < 2:
            raise ValueError(f"repeats: expected at least 2, to see how estimates spread, got {self.repeats}")
        if not 0 < self.discount <= 1:
            raise ValueError(f"discount: expected above 0 and at most 1, got {self.discount:g}")
        if not 0 < self.perturbation < np.inf:
            raise ValueError(f"perturbation: expected a positive number, got {self.perturbation:g}")


class CannotMeasure(ValueError):  # noqa: N818 - it is an answer
    """What was asked for has no answer at these parameters."""


@dataclass(frozen=True, eq=False)
class Truth:
    """g, the standard error of its components, and where it is from."""

    gradient: Float[Array, "d"]
    error: Float[Array, "d"]
    source: str


@dataclass(frozen=True, eq=False)
class Estimates:
    """The answer to a request: where it was asked, the truth, and a row per estimator and N."""

    request: Request
    params: Float[Array, "d"]  # θ
    truth: Truth
    table: pd.DataFrame


def _of_lqr(problem: LQR, theta: Float[Array, "d"]) -> Float[Array, "d"]:
    """The gradient for a linear-Gaussian policy with or without bias, a gain on a state that is always 1."""
    u, x = problem.B.T.shape
    W, rest = theta[: u * x].reshape(u, x), theta[u * x :]
    if rest.size == u:
        grad_K, grad_log_std = problem.gradient(W, rest)
        return np.concatenate([grad_K.ravel(), grad_log_std])

    def bordered(M: Float[Array, "_ _"], corner: float) -> Float[Array, "_ _"]:
        return np.block([[M, np.zeros((len(M), 1))], [np.zeros((1, M.shape[1])), np.full((1, 1), corner)]])

    augmented = replace(
        problem,
        A=bordered(problem.A, 1.0), B=np.vstack([problem.B, np.zeros((1, u))]), Q=bordered(problem.Q, 0.0),
        Q_f=bordered(problem.Q_f, 0.0), W=bordered(problem.W, 0.0), S_0=bordered(problem.S_0, 0.0),
        mu_0=np.append(problem.mu_0, 1.0),
    )  # fmt: skip
    grad_K, grad_log_std = augmented.gradient(np.column_stack([W, rest[:u]]), rest[u:])
    return np.concatenate([grad_K[:, :x].ravel(), grad_K[:, x], grad_log_std])


def _of_table(process: MDP, theta: Float[Array, "d"], discount: float) -> Float[Array, "d"]:
    actions = process.r.shape[1]
    table = theta.reshape(actions, -1).T
    return replace(process, discount=discount).gradient(table).T.ravel()


def _of_game(theta: Float[Array, "d"]) -> Float[Array, "d"]:
    """By differences of the exact return; softmax moves it smoothly."""

    def J(logits: Float[Array, "d"]) -> float:  # noqa: N802 - the symbol
        p = np.exp(logits - logits.max())
        return rock_paper_scissors.expected_return(p / p.sum(), rock_paper_scissors.ROUNDS)

    h = 1e-4
    return np.array([(J(theta + h * e) - J(theta - h * e)) / (2 * h) for e in np.eye(theta.size)])


@dataclass(frozen=True)
class ClosedForm:
    """(θ, γ) → ∇J(θ) for one policy of a task, and whether it holds for any discount."""

    policy: str
    gradient: Callable[[Float[Array, "d"], float], Float[Array, "d"]]
    discounted: bool = True
    source: str = "closed form"
    error: float = 0.0  # of a component


#: Tasks whose gradient is known.
TRUTHS: dict[str, ClosedForm] = {
    "lqr": ClosedForm("linear", lambda theta, _: _of_lqr(lqr.chain(), theta), discounted=False),
    "bandit": ClosedForm("tabular", lambda theta, gamma: _of_table(problems.bandit(), theta, gamma)),
    "chain": ClosedForm("tabular", lambda theta, gamma: _of_table(problems.chain(), theta, gamma)),
    "aliased-gridworld": ClosedForm(
        "tabular", lambda theta, gamma: _of_table(problems.aliased_gridworld(), theta, gamma)
    ),
    "rock-paper-scissors": ClosedForm(
        "tabular", lambda theta, _: _of_game(theta), False, "exact return by central differences", 1e-7
    ),
}


def known_truth(request: Request, theta: Float[Array, "d"]) -> Truth | None:
    """The exact gradient, if there is a closed form for this task, policy and discount."""
    form = TRUTHS.get(request.task.name)
    if form is None or request.task.policy != form.policy or not (form.discounted or request.discount == 1.0):
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging policy; see `_check`
        gradient = form.gradient(theta, request.discount)
    return Truth(gradient, np.full_like(gradient, form.error), form.source)


def measured(request: Request) -> Iterator[float | Estimates]:
    """The share of the work that is done, several times; at last the answer.

    Raises:
        CannotMeasure: for parameters of the wrong length, a gradient of zero, too few rollouts, or a task that fails.
    """
    policy = request.task.make_policy()
    if not isinstance(policy, StochasticPolicy):
        raise CannotMeasure(
            f"policy {request.task.policy}: expected a distribution over actions, got a controller"
        )
    theta = (
        request.task.start_of(policy, stream(request.seed, "start", request.task.name, 0))
        if request.params is None
        else request.params
    )
    if theta.shape != (policy.num_params,):
        raise CannotMeasure(
            f"params: expected {policy.num_params} numbers for {request.task.policy}, got {theta.size}"
        )
    # every candidate has its own episode, unless a plan shares them
    evaluator = make_evaluator(replace(request.task, common_random_numbers=False), policy)
    try:
        truth = known_truth(request, theta) or _reference(request, evaluator, theta)
        _check(truth)
        yield 0.0
        found: dict[tuple[str, int], list[Array]] = {}
        for m in range(request.repeats):
            for name, N, estimate in _one_of_each(request, evaluator, theta, m):
                found.setdefault((name, N), []).append(estimate)
            yield (m + 1) / request.repeats
    finally:
        evaluator.close()
    if not found:
        raise CannotMeasure(
            f"rollouts: {max(request.rollouts)} are too few for {', '.join(request.estimators)}; coordinate-wise "
            f"differences need 2 for each of {theta.size} parameters, baselines from other episodes 2"
        )
    rows = [_row(name, N, np.array(estimates), truth) for (name, N), estimates in found.items()]
    order = {name: i for i, name in enumerate(request.estimators)}
    table = pd.DataFrame(rows).sort_values(
        ["estimator", "rollouts"],
        key=lambda c: c.map(order) if c.name == "estimator" else c,
        ignore_index=True,
    )
    yield Estimates(request, theta, truth, table)


def _check(truth: Truth) -> None:
    """Raise CannotMeasure for a gradient that nothing can be compared with."""
    size, error = float(np.linalg.norm(truth.gradient)), float(np.linalg.norm(truth.error))
    if not np.isfinite(size):
        raise CannotMeasure("the gradient is not finite here: the policy diverges; choose other parameters")
    if size > max(2 * error, 1e-12):
        return
    if truth.source.startswith("mean"):
        raise CannotMeasure(
            f"the {truth.source} cannot tell the gradient from zero ({size:.3g} ± {error:.3g}); raise --reference, "
            "or choose other parameters"
        )
    raise CannotMeasure(
        "the gradient is zero here, so nothing can be compared with it; choose other parameters"
    )


def _episodes(evaluator: Runner, theta: Float[Array, "d"], episodes: int, key: Key) -> Sequence[Rollout]:
    evaluation = evaluator.evaluate(Proposal(theta[None], theta, episodes, sample=True, record=True), key)
    if evaluation.failures:
        raise CannotMeasure(f"an episode failed: {evaluation.failures[0].reason}; choose other parameters")
    return evaluation.rollouts[0]


def _reference(request: Request, evaluator: Runner, theta: Float[Array, "d"]) -> Truth:
    """The mean of many rollouts by the quietest of the unbiased simple estimators."""
    parts = []
    size = request.reference // REFERENCE_PARTS
    for part in range(REFERENCE_PARTS):
        key = (request.seed, "gradient reference", request.task.name, part)
        rollouts = _episodes(evaluator, theta, size, key)
        w = baselines.weights(rollouts, discount=request.discount, baseline="step", discounted_start=True)
        parts.append(score_function.gradient(rollouts, w))
    spread = np.std(parts, axis=0, ddof=1) / np.sqrt(len(parts))
    return Truth(np.mean(parts, axis=0), spread, f"mean of {REFERENCE_PARTS * size} rollouts")


def _one_of_each(
    request: Request, evaluator: Runner, theta: Float[Array, "d"], m: int
) -> Iterator[tuple[str, int, Float[Array, "d"]]]:
    """One estimate of every estimator from every number of rollouts."""
    key = (request.seed, "gradients", request.task.name, m)
    largest = max(request.rollouts)
    if any(name in FROM_ROLLOUTS for name in request.estimators):
        pool = _episodes(evaluator, theta, 2 * largest, key)
    for name in request.estimators:
        for N in request.rollouts:
            if name in FROM_ROLLOUTS:
                known = FROM_ROLLOUTS[name]
                if known.least <= N and theta.size <= known.most_params:
                    estimate = known.estimate(pool[:N], pool[largest : largest + N], request.discount)
                    yield name, N, estimate
            else:
                found = _perturbed(request, evaluator, theta, name, N, key)
                if found is not None:
                    yield name, N, found


def _perturbed(  # noqa: PLR0917 - internal
    request: Request, evaluator: Runner, theta: Float[Array, "d"], name: str, N: int, key: Key
) -> Float[Array, "d"] | None:
    """A gradient-free estimate, its candidates run as its plan says."""
    plan = FROM_RETURNS[name].plan(theta, N, request.perturbation, stream(*key, name, N))
    if plan is None:
        return None

    def returns(params: Float[Array, "n d"], *more: int) -> Float[Array, "n"]:
        proposal = Proposal(params, theta, sample=True, record=request.discount != 1.0)
        evaluation = evaluator.evaluate(proposal, (*key, name, N, *more))
        if evaluation.failures:
            raise CannotMeasure(
                f"an episode failed: {evaluation.failures[0].reason}; choose a smaller perturbation"
            )
        if request.discount == 1.0:
            return evaluation.returns[:, 0]
        rows = [score_function.discounted_returns(row, request.discount) for row in evaluation.rollouts]
        return np.concatenate(rows)

    if len(set(plan.episode)) == len(plan.params):
        return plan.finish(returns(plan.params))
    # alone under the key of its episode, a candidate draws the same action noise as its partners too
    return plan.finish(
        np.concatenate([returns(row[None], j) for row, j in zip(plan.params, plan.episode, strict=True)])
    )


def _row(name: str, N: int, estimates: Float[Array, "M d"], truth: Truth) -> dict[str, Any]:
    g, M = truth.gradient, len(estimates)
    size, mean = float(np.linalg.norm(g)), estimates.mean(axis=0)
    variance = float(estimates.var(axis=0, ddof=1).sum())
    noise = float(np.sqrt(variance / M + (truth.error**2).sum()))
    gap = float(np.linalg.norm(mean - g))
    lengths = np.linalg.norm(estimates, axis=1)
    cosines = np.divide(estimates @ g, lengths * size, out=np.zeros(M), where=lengths * size > 0)
    error = 1.96 * float(cosines.std(ddof=1)) / np.sqrt(M)
    known = FROM_ROLLOUTS.get(name) or FROM_RETURNS[name]
    return {
        "estimator": name,
        "rollouts": N,
        "repeats": M,
        "bias": gap / size,
        "noise": noise / size,
        "z": gap / noise if noise else np.inf if gap > 1e-12 * size else 0.0,
        "std": np.sqrt(variance) / size,
        "snr": float(np.linalg.norm(mean)) / np.sqrt(variance) if variance else np.inf if mean.any() else 0.0,
        "cosine": float(cosines.mean()),
        "cosine_low": float(cosines.mean() - error),
        "cosine_high": float(min(cosines.mean() + error, 1.0)),
        "biased_because": known.bias,
    }
