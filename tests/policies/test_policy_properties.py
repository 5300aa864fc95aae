"""Policies beyond `test_policies.py`: worked by hand, at extremes, and at the sizes that people use."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.core import Array, StochasticPolicy
from policysearch.policies import MLP, Gaussian, Linear, Softmax
from policysearch.seeding import stream

NONE = np.zeros((1, 0))


def draw(policy: StochasticPolicy, params: Array, obs: Array, noise: Array) -> Array:
    return policy.sample(np.tile(params, (len(obs), 1)), obs, np.zeros((len(obs), 0)), noise)[0]


# Worked by hand --------------------------------------------------------------------------------------


def test_the_divergence_of_two_normals_worked_by_hand() -> None:
    policy = Gaussian(Linear(1, 2, bias=False))
    old = np.array([1.0, -1.0, np.log(1.0), np.log(2.0)])
    new = np.array([3.0, -1.0, np.log(2.0), np.log(1.0)])
    # at s = 2: means (2, −2) and (6, −2); log 2/1 + (1 + 16)/8 − ½  and  log 1/2 + (4 + 0)/2 − ½
    expected = (np.log(2) + 17 / 8 - 0.5) + (-np.log(2) + 2 - 0.5)
    assert policy.kl(old, new, np.array([[2.0]])) == pytest.approx([expected])


def test_the_divergence_of_two_softmaxes_worked_by_hand() -> None:
    policy = Softmax(Linear(1, 2), (2,))
    old, new = (np.array([0.0, 0.0, *np.log(p)]) for p in ([0.5, 0.5], [0.25, 0.75]))
    expected = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert policy.kl(old, new, np.zeros((1, 1))) == pytest.approx([expected])


def test_the_density_of_a_normal_worked_by_hand() -> None:
    policy = Gaussian(Linear(1, 2))  # means 2s + 1 = 3 and −s = −1 at s = 1; standard deviations ½ and 3
    params = np.array([2.0, -1.0, 1.0, 0.0, np.log(0.5), np.log(3.0)])
    found = policy.log_prob(params, np.array([[1.0]]), np.array([[4.0, 2.0]]))
    # z = 2 and 1
    assert found == pytest.approx([-2.0 - np.log(0.5) - 0.5 - np.log(3.0) - np.log(2 * np.pi)])


def test_several_discrete_actions_are_independent() -> None:
    joint = Softmax(Linear(2, 5), (2, 3))
    params, obs = stream(1).standard_normal(15), stream(2).standard_normal((4, 2))
    W, b = params[:10].reshape(5, 2), params[10:]
    left, right = Softmax(Linear(2, 2), (2,)), Softmax(Linear(2, 3), (3,))
    of_left, of_right = np.concatenate([W[:2].ravel(), b[:2]]), np.concatenate([W[2:].ravel(), b[2:]])
    actions = np.array([[0, 2], [1, 0], [0, 1], [1, 1]], dtype=float)
    parts = left.log_prob(of_left, obs, actions[:, :1]) + right.log_prob(of_right, obs, actions[:, 1:])
    assert joint.log_prob(params, obs, actions) == pytest.approx(parts)
    noise = joint.noise(stream(3), 4)
    drawn = np.hstack([draw(left, of_left, obs, noise[:, :1]), draw(right, of_right, obs, noise[:, 1:])])
    assert draw(joint, params, obs, noise).tolist() == drawn.tolist()
    acted = joint.act(np.tile(params, (4, 1)), obs, np.zeros((4, 0)))[0]
    logits = obs @ W.T + b
    assert acted.tolist() == [[row[:2].argmax(), row[2:].argmax()] for row in logits]


def test_the_first_of_equal_logits_is_the_mode() -> None:
    policy = Softmax(Linear(2, 5), (2, 3))
    params = policy.start(stream(1))
    assert policy.act(params[None], np.ones((1, 2)), NONE)[0].tolist() == [[0.0, 0.0]]


def test_temperature_changes_the_draws_and_not_the_mode() -> None:
    cold, hot = Softmax(Linear(1, 3), (3,), temperature=0.05), Softmax(Linear(1, 3), (3,), temperature=50.0)
    params, n = np.array([0.0, 0.0, 0.0, 0.1, 0.5, 0.2]), 3000
    obs = np.zeros((n, 1))
    for policy, low, high in ((cold, 0.98, 1.0), (hot, 0.30, 0.37)):
        drawn = draw(policy, params, obs, policy.noise(stream(2), n))
        assert low < (drawn == 1.0).mean() <= high
        assert policy.act(params[None], obs[:1], NONE)[0].item() == 1.0


def test_gaussian_draws_have_the_mean_and_spread_of_the_policy() -> None:
    policy, n = Gaussian(MLP(2, 2, (3,))), 20_000
    params, obs = stream(1).standard_normal(policy.num_params), np.tile(stream(2).standard_normal(2), (n, 1))
    drawn = draw(policy, params, obs, policy.noise(stream(3), n))
    mean, std = policy.mean.forward(params[:-2], obs[:1])[0], np.exp(params[-2:])
    assert (np.abs(drawn.mean(axis=0) - mean) < 4 * std / np.sqrt(n)).all()
    assert (np.abs(drawn.std(axis=0) / std - 1) < 4 / np.sqrt(2 * n)).all()
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(n)


@pytest.mark.parametrize("hidden", [(), (5,), (4, 3), (3, 2, 4)])
def test_a_network_of_any_depth_is_the_composition_of_its_layers(hidden: tuple[int, ...]) -> None:
    network = MLP(3, 2, hidden)
    params, obs = stream(1, *hidden).standard_normal(network.num_params), stream(2).standard_normal((5, 3))
    named = dict(zip(network.param_names, params, strict=True))
    sizes, h = [3, *hidden, 2], obs
    for layer, (columns, rows) in enumerate(pairwise(sizes), start=1):
        W = np.array([[named[f"W{layer}[{i},{j}]"] for j in range(columns)] for i in range(rows)])
        z = h @ W.T + np.array([named[f"b{layer}[{i}]"] for i in range(rows)])
        h = np.tanh(z)
    assert network.forward(params, obs) == pytest.approx(z)
    assert network.act(np.tile(params, (5, 1)), obs, np.zeros((5, 0)))[0] == pytest.approx(z)
    # and its derivatives, one parameter at a time
    cotangents, step = stream(3).standard_normal((5, 2)), 1e-6
    numeric = [
        ((network.forward(params + step * e, obs) - network.forward(params - step * e, obs)) / (2 * step))
        for e in np.eye(params.size)
    ]
    assert network.vjp(params, obs, cotangents) == pytest.approx(
        np.array([(cotangents * d).sum() for d in numeric]), abs=1e-7
    )
    for e, d in zip(np.eye(params.size)[::5], numeric[::5], strict=True):
        assert network.jvp(params, obs, e) == pytest.approx(d, abs=1e-7)


def test_a_network_starts_with_the_spread_of_its_fan_in_and_a_small_last_layer() -> None:
    network = MLP(50, 20, (80, 60))
    params = dict(zip(network.param_names, network.start(stream(1)), strict=True))
    for layer, columns, gain in ((1, 50, 1.0), (2, 80, 1.0), (3, 60, 0.01)):
        W = np.array([value for name, value in params.items() if name.startswith(f"W{layer}")])
        expected = gain / np.sqrt(columns)
        assert abs(W.std() / expected - 1) < 4 / np.sqrt(2 * W.size)
        assert abs(W.mean()) < 4 * expected / np.sqrt(W.size)
        assert all(value == 0 for name, value in params.items() if name.startswith(f"b{layer}"))


def test_a_gaussian_starts_with_its_initial_spread_and_a_linear_map_at_zero() -> None:
    start = Gaussian(Linear(3, 2), initial_std=0.25).start(stream(1))
    assert start[:8].tolist() == [0.0] * 8
    assert np.exp(start[8:]) == pytest.approx([0.25, 0.25])


# Properties ------------------------------------------------------------------------------------------


KINDS: dict[str, Any] = {
    "linear": lambda o, a, h: Linear(o, a),
    "unbiased": lambda o, a, h: Linear(o, a, bias=False),
    "mlp": lambda o, a, h: MLP(o, a, (h,)),
    "gaussian": lambda o, a, h: Gaussian(MLP(o, a, (h, 3))),
    "softmax": lambda o, a, h: Softmax(MLP(o, a + 1, (h,)), (a + 1,)),
    "softmaxes": lambda o, a, h: Softmax(Linear(o, 2 * a), (2,) * a),
}


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from(sorted(KINDS)), st.integers(1, 400), st.integers(1, 20), st.integers(1, 70),
    st.integers(2, 30), st.randoms(use_true_random=False),
)  # fmt: skip
def test_a_row_is_the_same_bytes_alone_among_others_and_in_any_order(
    kind: str, o: int, a: int, h: int, m: int, shuffle: Any
) -> None:
    policy, rng = KINDS[kind](o, a, h), stream(o, a, h, m)
    params, obs = rng.standard_normal((m, policy.num_params)), rng.standard_normal((m, o))
    state, rows = np.zeros((m, 0)), list(range(m))
    shuffle.shuffle(rows)
    together = policy.act(params, obs, state)[0]
    alone = np.concatenate([policy.act(params[[i]], obs[[i]], state[[i]])[0] for i in range(m)])
    assert alone.tobytes() == together.tobytes()
    assert policy.act(params[rows], obs[rows], state)[0].tobytes() == together[rows].tobytes()
    half = rows[: (m + 1) // 2]
    assert policy.act(params[half], obs[half], state[half])[0].tobytes() == together[half].tobytes()
    # views, not copies: one parameter vector for all rows, and every other row of a longer batch
    shared = policy.act(np.broadcast_to(params[0], params.shape), obs, state)[0]
    copied = policy.act(np.tile(params[0], (m, 1)), obs, state)[0]
    each = np.concatenate([policy.act(params[:1], obs[[i]], state[[i]])[0] for i in range(m)])
    assert shared.tobytes() == copied.tobytes() == each.tobytes()
    assert policy.act(params[::2], obs[::2], state[::2])[0].tobytes() == together[::2].tobytes()
    if hasattr(policy, "sample"):
        noise = policy.noise(rng, m)
        drawn = policy.sample(params, obs, state, noise)[0]
        again = policy.sample(params[half], obs[half], state[half], noise[half])[0]
        assert again.tobytes() == drawn[half].tobytes()


STOCHASTIC: dict[str, StochasticPolicy] = {
    "gaussian linear": Gaussian(Linear(2, 2)),
    "gaussian mlp": Gaussian(MLP(2, 1, (3,))),
    "softmax linear": Softmax(Linear(2, 3), (3,)),
    "softmax mlp": Softmax(MLP(2, 5, (3,)), (2, 3), temperature=0.4),
}
every_policy = pytest.mark.parametrize("name", STOCHASTIC)


@settings(deadline=None)
@given(st.sampled_from(sorted(STOCHASTIC)), st.integers(0, 10**6), st.floats(0.0, 3.0))
def test_a_divergence_is_never_negative(name: str, seed: int, scale: float) -> None:
    policy, rng = STOCHASTIC[name], stream(seed)
    old, step = rng.standard_normal((2, policy.num_params))
    assert (policy.kl(old, old + scale * step, rng.standard_normal((4, 2))) >= -1e-12).all()


@every_policy
def test_the_score_of_the_policys_own_draws_has_the_mean_zero(name: str) -> None:
    policy, n = STOCHASTIC[name], 20_000
    params, obs = 0.3 * stream(1, name).standard_normal(policy.num_params), np.tile([0.8, -1.1], (n, 1))
    actions = draw(policy, params, obs, policy.noise(stream(2), n))
    along = np.array([policy.score_along(params, obs, actions, e) for e in np.eye(policy.num_params)])
    assert (along.std(axis=1) > 1e-3).all()
    assert along.std() > 0.2
    assert (np.abs(along.mean(axis=1)) < 4 * along.std(axis=1) / np.sqrt(n)).all()


@every_policy
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_poisoned_parameter_gives_an_action_that_is_not_finite_in_its_row_only(
    name: str, poison: float
) -> None:
    policy = STOCHASTIC[name]
    clean = np.tile(stream(1).standard_normal(policy.num_params), (3, 1))
    obs, state, noise = (
        np.full((3, 2), 0.5),
        np.zeros((3, 0)),
        0.5 * np.ones((3, policy.noise(stream(0), 1).shape[1])),
    )
    expected = policy.sample(clean, obs, state, noise)[0]
    for i, parameter in enumerate(policy.param_names):
        params = clean.copy()
        params[1, i] = poison
        with np.errstate(invalid="ignore", over="ignore"):
            drawn = policy.sample(params, obs, state, noise)[0]
        assert drawn[[0, 2]].tobytes() == expected[[0, 2]].tobytes()
        quenched = np.isinf(poison) and "mlp" in name and parameter.startswith(("W1", "b1"))
        silent = parameter.startswith("log_std") and poison == -np.inf  # a standard deviation of zero
        if not quenched and not silent:  # tanh of infinity is one
            assert not np.isfinite(drawn[1]).all(), parameter


def test_a_logit_of_minus_infinity_is_no_logit_for_draws_and_modes_alike() -> None:
    policy = Softmax(Linear(1, 3), (3,))
    params = np.array([[0.0, 0.0, 0.0, 1.0, -np.inf, 2.0]])
    for action in (
        policy.act(params, np.zeros((1, 1)), NONE)[0],
        policy.sample(params, np.zeros((1, 1)), NONE, np.array([[0.5]]))[0],
    ):
        assert np.isnan(action).all()


def test_logits_far_apart_lose_no_log_probability() -> None:
    policy = Softmax(Linear(1, 3), (3,))
    params, obs = np.array([0.0, 0.0, 0.0, 2000.0, 0.0, -1e5]), np.zeros((3, 1))
    found = policy.log_prob(params, obs, np.array([[0.0], [1.0], [2.0]]))
    assert found == pytest.approx([0.0, -2000.0, -102_000.0])
    assert np.isfinite(policy.score(params, obs, np.array([[0.0], [1.0], [2.0]]), np.ones(3))).all()


@every_policy
def test_nothing_that_a_policy_is_given_is_changed(name: str) -> None:
    policy, rng = STOCHASTIC[name], stream(1)
    params, obs, weights = (
        rng.standard_normal((3, policy.num_params)),
        rng.standard_normal((3, 2)),
        np.ones(3),
    )
    noise, state = policy.noise(rng, 3), np.zeros((3, 0))
    actions = policy.sample(params, obs, state, noise)[0]
    for array in (params, obs, weights, noise, state, actions):
        array.setflags(write=False)
    policy.act(params, obs, state)
    policy.sample(params, obs, state, noise)
    policy.score(params[0], obs, actions, weights)
    policy.score_along(params[0], obs, actions, params[1])
    policy.kl(params[0], params[1], obs)
    folded = policy.fold(params, np.ones(2), np.full(2, 2.0))  # type: ignore[attr-defined]
    assert not np.shares_memory(folded, params)


@every_policy
def test_steps_are_scored_one_by_one_or_together(name: str) -> None:
    policy, rng = STOCHASTIC[name], stream(2)
    params, obs = rng.standard_normal(policy.num_params), rng.standard_normal((4, 2))
    actions, weights = draw(policy, params, obs, policy.noise(rng, 4)), rng.standard_normal(4)
    apart = [policy.score(params, obs[[t]], actions[[t]], weights[[t]]) for t in range(4)]
    assert policy.score(params, obs, actions, weights) == pytest.approx(np.sum(apart, axis=0))
    assert policy.log_prob(params, obs, actions) == pytest.approx(
        np.concatenate([policy.log_prob(params, obs[[t]], actions[[t]]) for t in range(4)])
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Softmax(Linear(2, 3), (2, 2)), r"choices: expected 3 alternatives in all, got \(2, 2\)"),
        (lambda: Softmax(Linear(2, 3), ()), r"choices: expected 3 alternatives in all, got \(\)"),
        (lambda: Softmax(MLP(2, 2), (2,), temperature=np.nan), "temperature: expected a positive .* got nan"),
        (lambda: Softmax(MLP(2, 2), (2,), temperature=np.inf), "temperature: expected a positive .* got inf"),
        (lambda: Gaussian(MLP(2, 2), initial_std=-1.0), "initial_std: expected a positive .* got -1.0"),
        (lambda: Gaussian(MLP(2, 2), initial_std=np.inf), "initial_std: expected a positive .* got inf"),
        (lambda: Gaussian(MLP(2, 2), initial_std=np.nan), "initial_std: expected a positive .* got nan"),
    ],
)
def test_a_distribution_that_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
