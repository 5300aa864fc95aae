"""Bayesian optimization beside optuna itself; see also the contract suite and `test_gaussian_process.py`."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import BOX, D, Values, proposals, sphere

torch = pytest.importorskip("torch", reason="the extra bo is not installed: make torch")
optuna = pytest.importorskip("optuna", reason="the extra bo is not installed: make torch")

from policysearch.compare.__main__ import main  # noqa: E402
from policysearch.compare.run import Job, execute  # noqa: E402
from policysearch.compare.study import Study  # noqa: E402
from policysearch.core import Array, Domain, Evaluation, Proposal  # noqa: E402
from policysearch.optimizers import BayesianOptimization, RandomSearch  # noqa: E402
from policysearch.optimizers.bayesian import posterior_mean  # noqa: E402
from policysearch.search import Budget, generations  # noqa: E402
from policysearch.seeding import stream  # noqa: E402

SPAN = BOX.upper - BOX.lower


def begin(startup: int = 4, domain: Domain = BOX, seed: int = 1) -> Any:
    return BayesianOptimization(startup=startup).search(domain, stream(seed))


def told(proposal: Proposal, returns: Any, **options: Any) -> Evaluation:
    values = np.asarray(returns, dtype=float)[:, None]
    return Evaluation(proposal.params, values, np.ones(values.shape, dtype=int), **options)


@pytest.mark.parametrize("unit", [2.0**-60, 2.0**60])
def test_the_unit_of_the_returns_changes_no_candidate(unit: float) -> None:
    def candidates(unit: float) -> bytes:
        search = begin()
        proposal = next(search)
        for _ in range(2):
            proposal = search.send(told(proposal, unit * sphere(proposal.params)))
        return bytes(proposal.params.tobytes() + proposal.recommendation.tobytes())

    assert candidates(unit) == candidates(1.0)


def test_it_proposes_what_optunas_sampler_proposes_and_tells_it_no_unmeasured_candidate() -> None:
    seed = int(stream(1).integers(2**31))
    ranges = {str(i): optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(D)}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=1, deterministic_objective=False)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    search = begin()
    design = next(search)
    values = sphere(design.params)
    values[1] = np.nan  # nobody measured it
    for u, value in zip((design.params - BOX.lower) / SPAN, values, strict=True):
        if np.isfinite(value):
            params = dict(zip(ranges, u.tolist(), strict=True))
            study.add_trial(optuna.trial.create_trial(params=params, distributions=ranges, value=value))
    proposal = search.send(told(design, values, unmeasured=(1,)))
    for turn in range(8):
        trial = study.ask(ranges)
        u = np.array([trial.params[name] for name in ranges])
        assert proposal.params[0] == pytest.approx(BOX.lower + SPAN * u, abs=1e-6)
        value = float(sphere(proposal.params)[0])
        if turn == 2:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            proposal = search.send(told(proposal, [np.nan], unmeasured=(0,)))
        elif turn == 5:  # a failure counts with its fitness
            study.tell(trial, -77.0)
            proposal = search.send(told(proposal, [np.nan], failed_fitness=-77.0))
        else:
            study.tell(trial, value)
            proposal = search.send(told(proposal, [value]))
    optuna.logging.set_verbosity(verbosity)


def test_the_startup_design_is_the_start_and_a_latin_hypercube() -> None:
    domain = Domain(np.array([0.3, 5.0]), np.array([0.0, 1.0]), np.array([1.0, 11.0]))
    design = next(begin(6, domain)).params
    assert design[0].tolist() == [0.3, 5.0]
    slices = np.floor(5 * (design[1:] - domain.lower) / (domain.upper - domain.lower)).astype(int)
    assert np.sort(slices, axis=0).T.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert slices[:, 0].tolist() != slices[:, 1].tolist()


def test_while_nothing_is_known_another_design_is_drawn_and_the_start_recommended() -> None:
    search = begin()
    first = next(search)
    second = search.send(told(first, [np.nan] * 4))
    third = search.send(told(second, [np.nan] * 4, unmeasured=(0, 1, 2, 3)))
    for proposal in (second, third):
        assert proposal.params.shape == (4, D)
        assert proposal.recommendation.tolist() == BOX.start.tolist()
    assert second.params[1:].tobytes() != first.params[1:].tobytes()
    assert search.send(told(third, [np.nan, 2.0, np.nan, np.nan])).params.shape == (1, D)


def test_the_recommendation_is_the_tried_point_with_the_highest_posterior_mean_and_not_the_luckiest() -> None:
    search, evaluator = begin(8), Values(noise=2.0)
    proposal = next(search)
    tried: list[Array] = []
    values: list[float] = []
    lucky = []
    for turn in range(12):
        evaluation = evaluator.evaluate(proposal, (turn,))
        tried, values = [*tried, *proposal.params], [*values, *evaluation.fitness.tolist()]
        proposal = search.send(evaluation)
        mean = posterior_mean((np.array(tried) - BOX.lower) / SPAN, np.array(values))
        assert proposal.recommendation.tobytes() == tried[int(mean.argmax())].tobytes()
        lucky.append(proposal.recommendation.tobytes() == tried[int(np.argmax(values))].tobytes())
    assert not all(lucky)


@pytest.mark.nightly
def test_a_failure_at_first_is_no_value_and_later_one_that_is_avoided() -> None:
    def right_half_is_broken(x: Array) -> Array:
        return np.where(x[:, 0] > 1.2, np.nan, sphere(x))

    *turns, last = generations(
        BayesianOptimization(), Values(right_half_is_broken), BOX, budget=Budget(30), seed=2
    )
    assert sum(np.isnan(turn.evaluation.returns).sum() for turn in turns[-10:]) <= 4
    assert sphere(last.recommendation[None])[0] > -0.5


@pytest.mark.nightly
def test_it_finds_in_30_rollouts_what_random_search_does_not() -> None:
    def found(optimizer: Any, seed: int) -> float:
        *_, last = generations(optimizer, Values(noise=0.3), BOX, budget=Budget(30), seed=seed)
        return float(sphere(last.recommendation[None])[0])

    ours, random_search = (
        [found(o, seed) for seed in range(3)] for o in (BayesianOptimization(), RandomSearch())
    )
    assert min(ours) > max(random_search)
    assert np.mean(ours) > -0.6  # the start is at −4


@pytest.mark.parametrize("transform", [lambda y: y + 10.0, lambda y: 128.0 * y])
def test_constants_and_factors_of_the_returns_do_not_matter(transform: Any) -> None:
    optimizer = BayesianOptimization(startup=4)
    first = proposals(optimizer, 5, sphere, BOX)
    second = proposals(optimizer, 5, lambda x: transform(sphere(x)), BOX)
    for a, b in zip(first, second, strict=True):
        assert a.params == pytest.approx(b.params, abs=1e-3)


def test_units_do_not_matter() -> None:
    optimizer, units = BayesianOptimization(startup=4), np.array([1.0, 4.0, 0.25, 64.0])
    scaled = Domain(units * BOX.start, units * BOX.lower, units * BOX.upper)
    first = proposals(optimizer, 5, sphere, BOX)
    second = proposals(optimizer, 5, lambda x: sphere(x / units), scaled)
    for a, b in zip(first, second, strict=True):
        assert b.params == pytest.approx(units * a.params, rel=1e-9)


@pytest.mark.parametrize(("lower", "upper"), [(-np.inf, np.inf), (-1.0, np.inf), (-np.inf, 1.0)])
def test_a_parameter_without_two_bounds_is_refused(lower: float, upper: float) -> None:
    domain = Domain(np.zeros(2), np.array([-1.0, lower]), np.array([1.0, upper]))
    with pytest.raises(ValueError, match="two finite bounds for every parameter; use another optimizer"):
        next(begin(domain=domain))


def test_a_parameter_that_cannot_move_stays() -> None:
    domain = Domain(np.array([0.5, 0.5]), np.array([0.5, 0.0]), np.array([0.5, 1.0]))
    for proposal in proposals(BayesianOptimization(startup=3), 3, sphere, domain):
        assert (proposal.params[:, 0] == 0.5).all()


OUTSIDE = """
import random, warnings
import numpy as np, optuna, torch
from policysearch.core import Domain, Evaluation
from policysearch.optimizers import BayesianOptimization

def state():
    return (
        torch.random.get_rng_state().tolist(), random.getstate(), torch.get_num_threads(),
        optuna.logging.get_verbosity(), list(warnings.filters),
    )

before = state()
search = BayesianOptimization(startup=3).search(
    Domain(np.zeros(2), -np.ones(2), np.ones(2)), np.random.default_rng(0)
)
proposal = next(search)
for _ in range(3):
    returns = proposal.params.sum(axis=1, keepdims=True)
    proposal = search.send(Evaluation(proposal.params, returns, np.ones(returns.shape, dtype=int)))
print(state() == before)
"""


def test_nothing_outside_is_changed_and_nothing_is_said() -> None:
    # in a process of its own: the type checker of the tests draws from `random`
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OUTSIDE], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_the_number_of_threads_and_the_state_of_torch_do_not_matter() -> None:
    first = proposals(BayesianOptimization(startup=3), 3, sphere, BOX)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads % 2 + 1)
    torch.manual_seed(123)
    second = proposals(BayesianOptimization(startup=3), 3, sphere, BOX)
    torch.set_num_threads(threads)
    assert [p.params.tobytes() for p in first] == [p.params.tobytes() for p in second]


def test_a_comparison_searches_a_controller_with_it_and_gives_the_same_numbers_again() -> None:
    study = Study.resolve({"tasks": ["exoskeleton"], "optimizers": ["bayesian"], "rollouts": 11, "runs": 1})
    first, second = (execute(study, Job("exoskeleton", "bayesian", 0)) for _ in range(2))
    assert first.row["rollouts"] == 11
    assert first.params.tobytes() == second.params.tobytes()
    assert repr(first.curve) == repr(second.curve)  # NaN is not equal to itself


def test_all_methods_of_a_comparison_include_it_where_there_are_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--tasks", "exoskeleton", "--optimizers", "random-search", "bayesian", "--rollouts", "10"]
    assert main([*flags, "--runs", "1", "--workers", "1", "--out", str(tmp_path)]) == 0
    assert "bayesian" in capsys.readouterr().out
