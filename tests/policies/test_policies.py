"""Policies: their actions, distributions and scores."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.core import Array, StochasticPolicy
from policysearch.policies import MLP, Gaussian, Linear, Softmax
from policysearch.seeding import stream

O, T = 3, 6  # noqa: E741 - observation size and steps

POLICIES: dict[str, StochasticPolicy] = {
    "gaussian linear": Gaussian(Linear(O, 2)),
    "gaussian linear without bias": Gaussian(Linear(O, 2, bias=False)),
    "gaussian mlp": Gaussian(MLP(O, 2, (5,))),
    "gaussian deep mlp": Gaussian(MLP(O, 1, (4, 3))),
    "softmax linear": Softmax(Linear(O, 3), (3,)),
    "softmax with temperature": Softmax(Linear(O, 3), (3,), temperature=0.3),
    "softmax tabular": Softmax(Linear(O, 4, bias=False), (4,)),
    "softmax mlp": Softmax(MLP(O, 3, (5,)), (3,)),
    "softmax of three actions": Softmax(MLP(O, 7, (4,)), (2, 3, 2)),
}

every_policy = pytest.mark.parametrize("name", POLICIES)


def scene(name: str) -> tuple[StochasticPolicy, Array, Array, Array]:
    """A policy with random parameters, observations, and actions drawn from it."""
    policy, rng = POLICIES[name], stream(7, name)
    params = 0.7 * rng.standard_normal(policy.num_params)
    obs = rng.standard_normal((T, O))
    if name == "softmax tabular":
        obs = np.eye(O)[rng.integers(O, size=T)]
    batch = np.tile(params, (T, 1))
    actions, _ = policy.sample(batch, obs, np.zeros((T, 0)), policy.noise(rng, T))
    return policy, params, obs, actions


@every_policy
def test_scores_are_the_derivatives_of_the_log_probabilities(name: str) -> None:
    policy, params, obs, actions = scene(name)
    weights, h = stream(8).standard_normal(T), 1e-6
    numeric = [
        (policy.log_prob(params + h * e, obs, actions) - policy.log_prob(params - h * e, obs, actions))
        / (2 * h)
        for e in np.eye(policy.num_params)
    ]
    jacobian = np.array(numeric).T  # T × d
    assert policy.score(params, obs, actions, weights) == pytest.approx(weights @ jacobian, abs=2e-7)
    for direction in np.eye(policy.num_params)[:: max(1, policy.num_params // 6)]:
        along = policy.score_along(params, obs, actions, direction)
        assert along == pytest.approx(jacobian @ direction, abs=2e-7)


@every_policy
def test_score_and_score_along_are_adjoint(name: str) -> None:
    policy, params, obs, actions = scene(name)
    weights, direction = stream(1).standard_normal(T), stream(2).standard_normal(policy.num_params)
    left = policy.score(params, obs, actions, weights) @ direction
    assert left == pytest.approx(weights @ policy.score_along(params, obs, actions, direction), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 7, 63, 64, 65, 200])
@pytest.mark.parametrize("name", ["gaussian deep mlp", "softmax of three actions"])
def test_products_are_those_of_the_steps_one_by_one_whatever_their_number(name: str, steps: int) -> None:
    policy, rng = POLICIES[name], stream(9, name)
    params, obs = rng.standard_normal(policy.num_params), rng.standard_normal((steps, O))
    batch, direction = np.tile(params, (steps, 1)), rng.standard_normal(params.size)
    actions, _ = policy.sample(batch, obs, np.zeros((steps, 0)), policy.noise(rng, steps))
    new, w = params + 0.1 * direction, rng.standard_normal(steps)
    rows = [slice(t, t + 1) for t in range(steps)]
    alone = np.array([policy.score(params, obs[t], actions[t], w[t]) for t in rows])
    assert policy.score(params, obs, actions, w) == pytest.approx(alone.sum(axis=0), rel=1e-9, abs=1e-12)
    for method, arguments in ((policy.log_prob, (params,)), (policy.score_along, (params,))):
        last = (direction,) if method == policy.score_along else ()
        each = [method(*arguments, obs[t], actions[t], *last)[0] for t in rows]  # type: ignore[operator]
        found = method(*arguments, obs, actions, *last)  # type: ignore[operator]
        assert found.tobytes() == np.array(each).tobytes()
    assert (
        policy.kl(params, new, obs).tobytes()
        == np.concatenate([policy.kl(params, new, obs[t]) for t in rows]).tobytes()
    )


def test_sums_run_in_the_order_of_their_index() -> None:
    # 1e16 swallows a 1 that is added to it, and 7 − 1e16 is rounded to 8 − 1e16
    ones, large = [1.0] * 7, 1e16
    for weights, expected in (
        ([large, *ones, -large], 0.0),
        ([*ones, -large, large], 8.0),
        ([-large, large, *ones], 7.0),
        ([0.0] * 8 + [1.0, large, -large], 0.0),
        ([0.0] * 8 + [large, -large, 1.0], 1.0),
    ):
        size = len(weights)
        for outputs in (1, 4, 6):  # rows are computed in fours, and then one by one
            many = Linear(size, outputs, bias=False)
            assert many.forward(np.tile(weights, outputs), np.ones((1, size))).tolist() == [
                [expected] * outputs
            ]
    T = 65  # two tiles
    obs, cotangents = np.ones((T, 1)), np.ones((T, 1))
    cotangents[0], cotangents[-1] = 1e16, -1e16
    assert Linear(1, 1, bias=False).vjp(np.ones(1), obs, cotangents).item() == 0.0
    assert Linear(1, 1).vjp(np.ones(2), obs, cotangents)[1] == 0.0
    assert Linear(1, 5, bias=False).vjp(np.ones(5), obs, np.tile(cotangents, 5)).tolist() == [0.0] * 5


@pytest.mark.parametrize(
    "network", [Linear(O, 2), Linear(O, 2, bias=False), MLP(O, 2, (4, 3)), MLP(O, 2, (9, 6)), MLP(O, 2, ())]
)
def test_networks_differentiate_themselves(network: Linear | MLP) -> None:
    rng = stream(3)
    params, obs = rng.standard_normal(network.num_params), rng.standard_normal((T, O))
    direction, cotangents, h = rng.standard_normal(params.size), rng.standard_normal((T, 2)), 1e-6
    up, down = (network.forward(params + sign * h * direction, obs) for sign in (1, -1))
    assert network.jvp(params, obs, direction) == pytest.approx((up - down) / (2 * h), abs=1e-7)
    left = network.vjp(params, obs, cotangents) @ direction
    assert left == pytest.approx(np.sum(cotangents * network.jvp(params, obs, direction)), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in POLICIES if "softmax" in name])
def test_probabilities_of_all_discrete_actions_sum_to_one(name: str) -> None:
    policy, params, obs, _ = scene(name)
    assert isinstance(policy, Softmax)
    every = itertools.product(*(range(n) for n in policy.choices))
    total = sum(np.exp(policy.log_prob(params, obs, np.tile(np.array(a, float), (T, 1)))) for a in every)
    assert total == pytest.approx(1.0)


def test_the_gaussian_density_integrates_to_one() -> None:
    policy, params, obs, _ = scene("gaussian deep mlp")
    grid = np.linspace(-40, 40, 20_001)
    for s in obs:
        density = np.exp(policy.log_prob(params, np.tile(s, (grid.size, 1)), grid[:, None]))
        assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in POLICIES if "softmax" in name])
def test_actions_are_drawn_with_their_probabilities(name: str) -> None:
    policy, params, obs, _ = scene(name)
    assert isinstance(policy, Softmax)
    n, s = 20_000, np.tile(obs[0], (20_000, 1))
    actions, _ = policy.sample(np.tile(params, (n, 1)), s, np.zeros((n, 0)), policy.noise(stream(4), n))
    for a in itertools.product(*(range(c) for c in policy.choices)):
        p = float(np.exp(policy.log_prob(params, obs[:1], np.array([a], float)))[0])
        error = np.sqrt(p * (1 - p) / n)
        assert error < 0.004
        assert abs((actions == a).all(axis=1).mean() - p) < 4 * error + 1e-12


def test_a_draw_is_the_inverse_of_the_cumulative_distribution() -> None:
    policy = Softmax(Linear(1, 3), (3,))
    params = np.concatenate([np.zeros(3), np.log([0.2, 0.3, 0.5])])
    noise = np.array([[0.0], [0.199], [0.201], [0.499], [0.501], [1 - 2**-53]])
    actions, _ = policy.sample(np.tile(params, (6, 1)), np.zeros((6, 1)), np.zeros((6, 0)), noise)
    assert actions[:, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_a_gaussian_draw_is_the_mean_plus_the_scaled_noise() -> None:
    policy = Gaussian(Linear(1, 1))
    params, noise = np.array([[2.0, 1.0, np.log(3.0)]]), np.array([[-0.5]])
    action, _ = policy.sample(params, np.array([[4.0]]), np.zeros((1, 0)), noise)
    assert action[0, 0] == pytest.approx(2 * 4 + 1 - 0.5 * 3)


@every_policy
def test_drawing_noise_in_two_parts_equals_drawing_it_at_once(name: str) -> None:
    policy, one, two = POLICIES[name], stream(5), stream(5)
    parts = np.concatenate([policy.noise(one, 2), policy.noise(one, 3)])
    assert parts.tobytes() == policy.noise(two, 5).tobytes()


@every_policy
def test_the_mode_is_the_most_likely_action(name: str) -> None:
    policy, params, obs, _ = scene(name)
    mode, _ = policy.act(np.tile(params, (T, 1)), obs, np.zeros((T, 0)))
    best = policy.log_prob(params, obs, mode)
    for seed in range(50):
        other, _ = policy.sample(
            np.tile(params, (T, 1)), obs, np.zeros((T, 0)), policy.noise(stream(seed), T)
        )
        assert (policy.log_prob(params, obs, other) <= best + 1e-12).all()


@every_policy
def test_the_policy_of_the_mode_acts_alike_with_the_leading_parameters(name: str) -> None:
    policy, params, obs, _ = scene(name)
    leading = np.tile(params[: policy.mode.num_params], (T, 1))
    alike, _ = policy.mode.act(leading, obs, np.zeros((T, 0)))
    assert alike.tobytes() == policy.act(np.tile(params, (T, 1)), obs, np.zeros((T, 0)))[0].tobytes()
    assert (
        policy.start(stream(1))[: policy.mode.num_params].tobytes() == policy.mode.start(stream(1)).tobytes()
    )


@every_policy
def test_divergence_is_zero_at_equal_parameters_and_the_mean_log_ratio_elsewhere(name: str) -> None:
    policy, old, obs, _ = scene(name)
    new = old + 0.8 * stream(6).standard_normal(old.size)
    assert policy.kl(old, old, obs) == pytest.approx(0.0, abs=1e-12)
    n, s = 40_000, np.tile(obs[0], (40_000, 1))
    actions, _ = policy.sample(np.tile(old, (n, 1)), s, np.zeros((n, 0)), policy.noise(stream(9), n))
    ratios = policy.log_prob(old, s, actions) - policy.log_prob(new, s, actions)
    exact, error = policy.kl(old, new, obs[:1])[0], ratios.std() / np.sqrt(n)
    assert 0 < error < 0.1 * exact
    assert abs(ratios.mean() - exact) < 4 * error


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(POLICIES)), st.integers(1, 40), st.randoms(use_true_random=False))
def test_every_row_is_computed_by_itself_bit_for_bit(name: str, m: int, shuffle: object) -> None:
    policy, rng = POLICIES[name], stream(m, name)
    params, obs = rng.standard_normal((m, policy.num_params)), rng.standard_normal((m, O))
    noise, state = policy.noise(rng, m), np.zeros((m, 0))
    whole, drawn = policy.act(params, obs, state)[0], policy.sample(params, obs, state, noise)[0]
    rows = list(range(m))
    shuffle.shuffle(rows)  # type: ignore[attr-defined]
    rows = rows[: max(1, m // 2)]
    part = policy.act(params[rows], obs[rows], state[rows])[0]
    assert part.tobytes() == whole[rows].tobytes()
    assert (
        policy.sample(params[rows], obs[rows], state[rows], noise[rows])[0].tobytes() == drawn[rows].tobytes()
    )
    shared = np.broadcast_to(params[0], params.shape)
    alone = [policy.act(params[:1], obs[[i]], state[:1])[0] for i in range(m)]
    assert policy.act(shared, obs, state)[0].tobytes() == np.concatenate(alone).tobytes()


@every_policy
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_an_action_that_cannot_be_computed_is_nan(name: str, poison: float) -> None:
    policy, params, obs, _ = scene(name)
    batch, state = np.tile(params, (T, 1)), np.zeros((T, 0))
    obs = obs.copy()
    obs[2] = poison
    with np.errstate(invalid="ignore"):
        acted, drawn = (
            policy.act(batch, obs, state)[0],
            policy.sample(batch, obs, state, policy.noise(stream(1), T))[0],
        )
    if "mlp" in name and np.isinf(poison):
        return  # tanh of infinity is one: the action is a number
    assert not np.isfinite(acted[2]).all()
    assert not np.isfinite(drawn[2]).all()
    assert np.isfinite(np.delete(acted, 2, axis=0)).all()


@every_policy
def test_every_parameter_has_a_name_of_its_own(name: str) -> None:
    policy = POLICIES[name]
    assert len(set(policy.param_names)) == policy.num_params == policy.start(stream(0)).size
    assert policy.state_size == 0


def test_names_say_which_entry_a_parameter_is() -> None:
    policy = Gaussian(MLP(2, 1, (2,)))
    params = dict(zip(policy.param_names, np.arange(10.0), strict=True))
    W1 = np.array([[params["W1[0,0]"], params["W1[0,1]"]], [params["W1[1,0]"], params["W1[1,1]"]]])
    hidden = np.tanh(W1 @ [0.1, 0.2] + [params["b1[0]"], params["b1[1]"]])
    action = params["W2[0,0]"] * hidden[0] + params["W2[0,1]"] * hidden[1] + params["b2[0]"]
    acted, _ = policy.act(np.arange(10.0)[None], np.array([[0.1, 0.2]]), np.zeros((1, 0)))
    assert acted[0, 0] == pytest.approx(action)
    assert policy.param_names[-1] == "log_std[0]"


@pytest.mark.parametrize(
    "name", [name for name in POLICIES if "without" not in name and "tabular" not in name]
)
def test_folded_parameters_act_on_raw_observations_as_the_inner_ones_on_normalised(name: str) -> None:
    policy, params, obs, _ = scene(name)
    mean, gain = np.array([1.0, -2.0, 0.5]), np.array([0.5, 2.0, 0.0])
    folded = policy.fold(params, mean, gain)  # type: ignore[attr-defined]
    assert folded.shape == params.shape
    normalised = gain * (obs - mean)
    batch, state, noise = np.tile(params, (T, 1)), np.zeros((T, 0)), policy.noise(stream(3), T)
    inner = policy.sample(batch, normalised, state, noise)[0]
    assert policy.sample(np.tile(folded, (T, 1)), obs, state, noise)[0] == pytest.approx(inner)
    many = policy.fold(batch, mean, gain)  # type: ignore[attr-defined]
    assert many == pytest.approx(np.tile(folded, (T, 1)))


@pytest.mark.parametrize("name", ["gaussian linear", "gaussian mlp", "softmax linear", "softmax mlp"])
def test_scores_on_normalised_observations_are_the_folded_scores_pulled_back(name: str) -> None:
    policy, params, obs, actions = scene(name)
    mean, gain, weights = np.array([1.0, -2.0, 0.5]), np.array([0.5, 2.0, 1.5]), stream(1).standard_normal(T)
    fold = lambda p: policy.fold(p, mean, gain)  # type: ignore[attr-defined] # noqa: E731
    jacobian = np.array([fold(params + e) - fold(params) for e in np.eye(params.size)]).T  # folding is linear
    outer = policy.score(fold(params), obs, actions, weights)
    inner = policy.score(params, gain * (obs - mean), actions, weights)
    assert inner == pytest.approx(jacobian.T @ outer, rel=1e-9, abs=1e-9)


def test_a_policy_without_bias_cannot_be_whitened() -> None:
    with pytest.raises(ValueError, match="needs a bias, got bias=False"):
        Linear(2, 1, bias=False).fold(np.zeros(2), np.zeros(2), np.ones(2))


def test_a_network_does_not_start_at_a_saddle() -> None:
    policy = Gaussian(MLP(O, 1, (8,)))
    start = policy.start(stream(1))
    assert start.tobytes() == policy.start(stream(1)).tobytes() != policy.start(stream(2)).tobytes()
    obs, actions = stream(3).standard_normal((T, O)), np.ones((T, 1))
    score = policy.score(start, obs, actions, np.ones(T))
    first_layer = score[: 8 * O]
    assert np.abs(first_layer).min() > 0
    acted, _ = policy.act(np.tile(start, (T, 1)), obs, np.zeros((T, 0)))
    assert np.abs(acted).max() < 0.1


def test_a_temperature_divides_the_logits() -> None:
    hot, cold = Softmax(Linear(1, 2), (2,), temperature=2.0), Softmax(Linear(1, 2), (2,))
    params = np.array([1.0, -1.0, 0.5, 0.0])
    obs, actions = np.array([[2.0]]), np.array([[1.0]])
    assert hot.log_prob(params, obs, actions) == pytest.approx(cold.log_prob(params / 2, obs, actions))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Softmax(Linear(2, 3), (2,)), "choices: expected 3 alternatives in all, got"),
        (
            lambda: Softmax(Linear(2, 3), (3,), temperature=0.0),
            "temperature: expected a positive number, got 0.0",
        ),
        (lambda: Gaussian(Linear(2, 1), initial_std=0.0), "initial_std: expected a positive number, got 0.0"),
    ],
)
def test_a_bad_policy_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


#: Each is a function to compile: by day both distributions, both networks, a temperature, and a map.
BY_DAY = ("gaussian linear", "gaussian deep mlp", "softmax with temperature", "softmax of three actions")
every_kernel = pytest.mark.parametrize(
    "policy",
    [
        *(
            pytest.param(policy, id=name, marks=[pytest.mark.nightly] * (name not in BY_DAY))
            for name, policy in POLICIES.items()
        ),
        pytest.param(Linear(O, 2), id="linear", marks=pytest.mark.nightly),
        pytest.param(MLP(O, 2, (7, 6)), id="mlp"),
    ],
)


@every_kernel
def test_a_kernel_computes_what_the_numpy_form_computes(policy: Any) -> None:
    rng, kernel, m = stream(1), policy.kernel, 200
    params, obs, state = (
        rng.standard_normal((m, policy.num_params)),
        rng.standard_normal((m, O)),
        np.zeros((m, 0)),
    )
    for noise in (np.empty((m, 0)), *([policy.noise(rng, m)] if kernel.noise_size else [])):
        expected = (
            policy.sample(params, obs, state, noise) if noise.size else policy.act(params, obs, state)
        )[0]
        scratch = np.full(kernel.scratch_size, np.nan)
        rows, alone = np.full(expected.shape, np.nan), np.full(expected.shape, np.nan)
        kernel.act_on_rows(params, obs, state, noise, scratch, rows)
        for i in range(m):
            kernel.act(params[i], obs[i], state[i], noise[i], scratch, alone[i])
        assert rows == pytest.approx(expected, rel=1e-12, abs=1e-13)
        assert rows.tobytes() == alone.tobytes()
        assert noise.shape[1] in (0, kernel.noise_size)
        assert len(np.unique(rows[:, 0])) > 1


@every_kernel
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_kernel_gives_no_action_for_what_is_not_finite(policy: Any, bad: float) -> None:
    kernel = policy.kernel
    for noise in (np.empty(0), *([np.full(kernel.noise_size, 0.5)] if kernel.noise_size else [])):
        params = np.ones(policy.num_params)
        params[: len(params) if np.isnan(bad) else 1] = bad
        action = np.zeros(policy.act(params[None], np.ones((1, O)), np.zeros((1, 0)))[0].shape[1])
        kernel.act(params, np.ones(O), np.zeros(0), noise, np.empty(kernel.scratch_size), action)
        if np.isnan(bad) or not isinstance(getattr(policy, "mean", getattr(policy, "logits", policy)), MLP):
            assert not np.isfinite(action).all()  # a tanh unit may swallow an infinity, as in NumPy
