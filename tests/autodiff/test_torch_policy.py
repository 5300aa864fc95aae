"""Policies made of torch modules: autograd as the oracle of our scores, and the contract of a policy.

Our parameter vectors are laid out as torch's: W row by row, then b, layer by layer. So the same vector means
the same policy, and nothing has to be converted.
"""

import copy
import dataclasses
import functools
import itertools
import pickle
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra torch is not installed: make torch")

from torch import nn  # noqa: E402

from policysearch.core import Array, Domain, Policy, Proposal, Rollout, StochasticPolicy  # noqa: E402
from policysearch.evaluators.episodes import EpisodeEvaluator  # noqa: E402
from policysearch.evaluators.pool import PoolEvaluator  # noqa: E402
from policysearch.gradients import score_function  # noqa: E402
from policysearch.optimizers.reinforce import Reinforce  # noqa: E402
from policysearch.policies import MLP, Gaussian, Linear, Softmax  # noqa: E402
from policysearch.policies.torch_policy import TorchMap, TorchPolicy  # noqa: E402
from policysearch.seeding import stream  # noqa: E402

O, T, H = 3, 7, 4  # noqa: E741 - observation size, steps, hidden size


def module_of(network: Linear | MLP) -> Any:
    """The same map in torch."""
    if isinstance(network, Linear):
        return nn.Linear(network.obs_size, network.action_size, bias=network.bias)
    sizes = [network.obs_size, *network.hidden, network.action_size]
    layers: list[Any] = []
    for columns, rows in itertools.pairwise(sizes):
        layers += [nn.Linear(columns, rows), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Divided(nn.Module):  # type: ignore[misc]
    """Outputs divided by a temperature."""

    def __init__(self, inner: Any, temperature: float) -> None:
        super().__init__()
        self.inner, self.temperature = inner, temperature

    def forward(self, obs: Any) -> Any:
        return self.inner(obs) / self.temperature


class Recurrent(nn.Module):  # type: ignore[misc]
    """A gated recurrent unit and a linear layer."""

    def __init__(self, obs_size: int, hidden_size: int, outputs: int, kind: Any = nn.GRU) -> None:
        super().__init__()
        self.unit, self.head = kind(obs_size, hidden_size), nn.Linear(hidden_size, outputs)

    def forward(self, obs: Any, hidden: Any) -> tuple[Any, Any]:
        seen, hidden = self.unit(obs, hidden[None])
        return self.head(seen), hidden[0]


OURS: dict[str, StochasticPolicy] = {
    "gaussian linear": Gaussian(Linear(O, 2)),
    "gaussian linear without bias": Gaussian(Linear(O, 2, bias=False)),
    "gaussian mlp": Gaussian(MLP(O, 2, (5,))),
    "gaussian mlp of three hidden layers": Gaussian(MLP(O, 1, (4, 3, 5)), initial_std=0.2),
    "gaussian mlp without hidden layers": Gaussian(MLP(O, 2, ())),
    "softmax linear": Softmax(Linear(O, 3), (3,)),
    "softmax linear without bias": Softmax(Linear(O, 4, bias=False), (4,)),
    "softmax with temperature": Softmax(Linear(O, 3), (3,), temperature=0.3),
    "softmax mlp": Softmax(MLP(O, 3, (5,)), (3,)),
    "softmax mlp of two hidden layers, with temperature": Softmax(MLP(O, 3, (6, 4)), (3,), temperature=2.5),
    "softmax of three actions": Softmax(MLP(O, 7, (4,)), (2, 3, 2)),
}


def torch_policy(ours: StochasticPolicy) -> TorchPolicy:
    """The same policy from a torch module."""
    if isinstance(ours, Gaussian):
        size, std = ours.mean.action_size, ours.initial_std
        return TorchPolicy(module_of(ours.mean), O, action_size=size, initial_std=std)
    assert isinstance(ours, Softmax)
    return TorchPolicy(Divided(module_of(ours.logits), ours.temperature), O, choices=ours.choices)


def embedded() -> Any:
    """A module with everything that could break purity, and is fine in `eval` mode."""
    return nn.Sequential(nn.Linear(O, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))


POLICIES: dict[str, TorchPolicy] = {
    **{name: torch_policy(ours) for name, ours in OURS.items()},
    "batch norm and dropout": TorchPolicy(embedded(), O, choices=(3,)),
    "layer norm": TorchPolicy(nn.Sequential(nn.LayerNorm(O), nn.Linear(O, 40), nn.GELU(), nn.Linear(40, 2)), O, action_size=2),
    "recurrent gaussian": TorchPolicy(Recurrent(O, H, 2), O, action_size=2, hidden_size=H),
    "recurrent softmax": TorchPolicy(Recurrent(O, H, 5, nn.RNN), O, choices=(3, 2), hidden_size=H),
}  # fmt: skip

our_policies = pytest.mark.parametrize("name", OURS)
every_policy = pytest.mark.parametrize("name", POLICIES)


def scene(policy: StochasticPolicy, *names: str) -> tuple[Array, Array, Array]:
    """Random parameters, observations and actions."""
    rng = stream(7, *names)
    params, obs = 0.7 * rng.standard_normal(policy.num_params), rng.standard_normal((T, O))
    state = np.zeros((T, policy.state_size))
    return params, obs, policy.sample(np.tile(params, (T, 1)), obs, state, policy.noise(rng, T))[0]


def close(expected: Array) -> Any:
    return pytest.approx(expected, rel=1e-10, abs=1e-10)


# Autograd as the oracle of our own policies


@our_policies
def test_our_distributions_are_those_of_torch(name: str) -> None:
    ours, theirs = OURS[name], POLICIES[name]
    params, obs, actions = scene(ours, name)
    new = params + 0.5 * stream(1).standard_normal(params.size)
    assert ours.log_prob(params, obs, actions) == close(theirs.log_prob(params, obs, actions))
    assert ours.kl(params, new, obs) == close(theirs.kl(params, new, obs))
    assert ours.num_params == theirs.num_params
    assert ours.mode.num_params == theirs.mode.num_params


@our_policies
def test_our_scores_are_those_of_autograd(name: str) -> None:
    ours, theirs = OURS[name], POLICIES[name]
    params, obs, actions = scene(ours, name)
    weights, direction = stream(2).standard_normal(T), stream(3).standard_normal(params.size)
    score = theirs.score(params, obs, actions, weights)
    along = theirs.score_along(params, obs, actions, direction)
    assert np.abs(score).max() > 0.01
    assert np.abs(along).max() > 0.01
    assert ours.score(params, obs, actions, weights) == close(score)
    assert ours.score_along(params, obs, actions, direction) == close(along)


@our_policies
def test_our_actions_are_those_of_torch_for_the_same_noise(name: str) -> None:
    ours, theirs, m = OURS[name], POLICIES[name], 60
    params = 0.7 * stream(4).standard_normal((m, ours.num_params))
    obs, state = stream(5).standard_normal((m, O)), np.zeros((m, 0))
    noise = ours.noise(stream(6), m)
    assert noise.tobytes() == theirs.noise(stream(6), m).tobytes()
    assert ours.act(params, obs, state)[0] == close(theirs.act(params, obs, state)[0])
    assert ours.sample(params, obs, state, noise)[0] == close(theirs.sample(params, obs, state, noise)[0])


def test_the_score_function_estimate_is_the_gradient_of_the_pseudo_loss() -> None:
    module = nn.Sequential(nn.Linear(O, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    policy, rng = TorchPolicy(module, O, action_size=2), stream(1)
    params = np.concatenate([p.detach().numpy().ravel() for p in module.parameters()] + [np.log([0.5, 0.5])])
    rollouts = []
    for steps in (3, 5, 4):
        obs, actions = rng.standard_normal((steps, O)), rng.standard_normal((steps, 2))
        record = (policy, params, obs, actions, rng.standard_normal(steps), np.zeros(O), True, False)
        rollouts.append(Rollout(*record))
    weights = [rng.standard_normal(len(rollout.rewards)) for rollout in rollouts]
    loss = torch.zeros(())
    for rollout, w in zip(rollouts, weights, strict=True):  # as a user of torch would write it
        normal = torch.distributions.Normal(module(torch.tensor(rollout.obs)), 0.5)
        log_prob = normal.log_prob(torch.tensor(rollout.actions)).sum(dim=1)
        loss = loss - (torch.tensor(w) * log_prob).sum() / len(rollouts)
    loss.backward()
    gradient = np.concatenate([-p.grad.numpy().ravel() for p in module.parameters()])
    assert score_function.gradient(rollouts, weights)[:-2] == close(gradient)


# The contract of a policy


@every_policy
def test_a_torch_policy_is_a_stochastic_policy(name: str) -> None:
    policy = POLICIES[name]
    assert isinstance(policy, StochasticPolicy)
    assert isinstance(policy.mode, Policy)
    assert len(set(policy.param_names)) == policy.num_params == policy.start(stream(0)).size


@every_policy
def test_scores_are_the_derivatives_of_the_log_probabilities(name: str) -> None:
    policy, h = POLICIES[name], 1e-6
    params, obs, actions = scene(policy, name)
    weights = stream(8).standard_normal(T)
    numeric = [
        (policy.log_prob(params + h * e, obs, actions) - policy.log_prob(params - h * e, obs, actions)) / (2 * h)
        for e in np.eye(policy.num_params)
    ]  # fmt: skip
    assert policy.score(params, obs, actions, weights) == pytest.approx(np.array(numeric) @ weights, abs=1e-6)
    direction = stream(9).standard_normal(policy.num_params)
    along = policy.score_along(params, obs, actions, direction)
    assert along == pytest.approx(direction @ np.array(numeric), abs=1e-6)


@every_policy
@pytest.mark.parametrize("m", [1, 2, 9, 33])
def test_every_row_is_computed_by_itself_bit_for_bit(name: str, m: int) -> None:
    policy, rng = POLICIES[name], stream(m, name)
    params, obs = rng.standard_normal((m, policy.num_params)), rng.standard_normal((m, O))
    state, noise = rng.standard_normal((m, policy.state_size)), policy.noise(rng, m)
    whole, drawn = policy.act(params, obs, state), policy.sample(params, obs, state, noise)
    rows = rng.permutation(m)[: max(1, m // 2)]
    part = policy.act(params[rows], obs[rows], state[rows])
    part_drawn = policy.sample(params[rows], obs[rows], state[rows], noise[rows])
    for one, other in zip((*whole, *drawn), (*part, *part_drawn), strict=True):
        assert one[rows].tobytes() == other.tobytes()
    shared = np.broadcast_to(params[0], params.shape)
    alone = [policy.act(params[:1], obs[i : i + 1], state[i : i + 1])[0] for i in range(m)]
    assert policy.act(shared, obs, state)[0].tobytes() == np.concatenate(alone).tobytes()


@every_policy
def test_a_policy_is_the_same_after_pickling_and_in_other_threads(name: str) -> None:
    policy = POLICIES[name]
    params, obs, actions = scene(policy, name)
    other = pickle.loads(pickle.dumps(policy))  # noqa: S301 - our own
    batch, state = np.tile(params, (T, 1)), np.zeros((T, policy.state_size))
    before = policy.act(batch, obs, state)[0], policy.score(params, obs, actions, np.ones(T))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        after = other.act(batch, obs, state)[0], other.score(params, obs, actions, np.ones(T))
    finally:
        torch.set_num_threads(threads)
    assert [values.tobytes() for values in before] == [values.tobytes() for values in after]


@every_policy
def test_drawing_noise_in_two_parts_equals_drawing_it_at_once(name: str) -> None:
    policy, one, two = POLICIES[name], stream(5), stream(5)
    parts = np.concatenate([policy.noise(one, 2), policy.noise(one, 3)])
    assert parts.tobytes() == policy.noise(two, 5).tobytes()


@every_policy
def test_a_start_is_fresh_and_repeatable(name: str) -> None:
    policy = POLICIES[name]
    start = policy.start(stream(1))
    assert start.tobytes() == policy.start(stream(1)).tobytes() != policy.start(stream(2)).tobytes()
    assert start[: policy.mode.num_params].tobytes() == policy.mode.start(stream(1)).tobytes()


@every_policy
def test_the_policy_of_the_mode_acts_alike_with_the_leading_parameters(name: str) -> None:
    policy = POLICIES[name]
    params, obs, _ = scene(policy, name)
    batch, state = np.tile(params, (T, 1)), stream(1).standard_normal((T, policy.state_size))
    mode, after = policy.mode.act(batch[:, : policy.mode.num_params], obs, state)
    acted, after_acting = policy.act(batch, obs, state)
    assert (mode.tobytes(), after.tobytes()) == (acted.tobytes(), after_acting.tobytes())


@every_policy
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_an_action_that_cannot_be_computed_is_nan(name: str, poison: float) -> None:
    policy = POLICIES[name]
    params, obs, _ = scene(policy, name)
    batch, state = np.tile(params, (T, 1)), np.zeros((T, policy.state_size))
    batch[2] = poison
    with np.errstate(invalid="ignore"):
        acted = policy.act(batch, obs, state)[0]
        drawn = policy.sample(batch, obs, state, policy.noise(stream(1), T))[0]
    assert not np.isfinite(acted[2]).any()
    assert not np.isfinite(drawn[2]).any()
    assert np.isfinite(np.delete(acted, 2, axis=0)).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_of_torch_and_of_the_module_changes(threads: int) -> None:
    module, before_threads = embedded(), torch.get_num_threads()
    module(torch.randn(20, O))  # moves the statistics of the batch norm
    state = copy.deepcopy(module.state_dict())
    torch.set_num_threads(threads)
    try:
        torch_rng, numpy_rng = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002
        policy = TorchPolicy(module, O, choices=(3,))
        params, obs, actions = scene(policy)
        policy.start(stream(1))
        policy.score(params, obs, actions, np.ones(T))
        policy.score_along(params, obs, actions, params)
        policy.kl(params, params, obs)
        with pytest.raises(ValueError, match="obs: expected 3 numbers per step, got 2"):
            policy.log_prob(params, obs[:, :2], actions)
        assert torch.equal(torch.get_rng_state(), torch_rng)
        assert np.random.get_state()[1].tobytes() == numpy_rng  # noqa: NPY002
        assert torch.get_num_threads() == threads
        assert torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float32
    finally:
        torch.set_num_threads(before_threads)
    assert module.training
    assert all(p.dtype == torch.float32 and p.requires_grad and p.grad is None for p in module.parameters())
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


def test_what_happens_to_the_module_later_does_not_matter() -> None:
    module = embedded()
    policy = TorchPolicy(module, O, choices=(3,))
    params, obs, actions = scene(policy)
    before = policy.log_prob(params, obs, actions)
    module(1e3 * torch.randn(20, O))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert policy.log_prob(params, obs, actions).tobytes() == before.tobytes()


class Counting(nn.Module):  # type: ignore[misc]
    """A linear layer that counts its calls in a buffer, and adds the count."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(O, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, obs: Any) -> Any:
        self.calls += 1
        return self.layer(obs) + self.calls


def test_what_a_module_writes_to_its_buffers_does_not_last() -> None:
    policy = TorchPolicy(Counting(), O, action_size=2)
    params, obs, actions = scene(policy)
    first = policy.log_prob(params, obs, actions)
    assert policy.log_prob(params, obs, actions).tobytes() == first.tobytes()
    theta = np.zeros((2, policy.num_params))
    assert policy.act(theta, obs[:2], np.zeros((2, 0)))[0].tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_frozen_parameters_are_not_searched_and_shared_ones_count_once() -> None:
    first, second = nn.Linear(O, O), nn.Linear(O, O)
    second.weight = first.weight
    first.bias.requires_grad_(False)
    policy = TorchPolicy(nn.Sequential(first, nn.Tanh(), second), O, choices=(O,))
    assert policy.param_names[:2] == ("0.weight[0,0]", "0.weight[0,1]")
    assert policy.param_names[O * O :] == ("2.bias[0]", "2.bias[1]", "2.bias[2]")
    W, b = stream(1).standard_normal((O, O)), first.bias.detach().double().numpy()
    obs, c = stream(2).standard_normal((T, O)), np.array([0.1, -0.2, 0.3])
    logits = np.tanh(obs @ W.T + b) @ W.T + c
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    params = np.concatenate([W.ravel(), c])
    assert policy.log_prob(params, obs, np.zeros((T, 1))) == close(expected[:, 0])


class Scaled(nn.Module):  # type: ignore[misc]
    """A parent with a start of its own, and a scalar that has none."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.layer = nn.Parameter(torch.tensor(3.0)), nn.Linear(O, 2)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.layer.bias)

    def forward(self, obs: Any) -> Any:
        return self.gain * self.layer(obs)


def test_a_module_starts_as_its_reset_parameters_say() -> None:
    policy = TorchPolicy(Scaled(), O, action_size=2, initial_std=0.25)
    start = dict(zip(policy.param_names, policy.start(stream(1)).tolist(), strict=True))
    assert start["gain"] == 3.0
    assert start["layer.bias[0]"] == start["layer.bias[1]"] == 0.0
    assert 0 < abs(start["layer.weight[1,2]"]) <= 1 / np.sqrt(O)
    assert start["log_std[0]"] == start["log_std[1]"] == np.log(0.25)


def test_parameters_that_the_outputs_ignore_have_no_score() -> None:
    module = nn.Linear(O, 2)
    module.register_parameter("unused", nn.Parameter(torch.ones(2)))
    policy = TorchPolicy(module, O, action_size=2)
    params, obs, actions = scene(policy)
    score = dict(zip(policy.param_names, policy.score(params, obs, actions, np.ones(T)), strict=True))
    assert score["unused[0]"] == score["unused[1]"] == 0.0 != score["weight[0,0]"]


# Recurrent modules


@pytest.mark.parametrize("name", ["recurrent gaussian", "recurrent softmax"])
def test_the_log_probability_of_an_episode_is_that_of_its_steps(name: str) -> None:
    policy = POLICIES[name]
    params, obs, actions = scene(policy, name)
    module = copy.deepcopy(policy.module)
    torch.nn.utils.vector_to_parameters(torch.tensor(params[: policy.mode.num_params]), module.parameters())
    hidden, log_probs = torch.zeros(H, dtype=torch.float64), []
    for s, a in zip(torch.tensor(obs), torch.tensor(actions), strict=True):
        (y,), hidden = module(s[None], hidden)
        if policy.choices:
            pieces = [
                torch.log_softmax(part, 0)[int(i)] for part, i in zip(y.split(policy.choices), a, strict=True)
            ]
        else:
            pieces = torch.distributions.Normal(y, torch.tensor(params[-2:]).exp()).log_prob(a)
        log_probs.append(float(sum(pieces).detach()))
    assert policy.log_prob(params, obs, actions) == close(np.array(log_probs))


@pytest.mark.parametrize("name", ["recurrent gaussian", "recurrent softmax"])
def test_a_recurrent_policy_carries_its_hidden_state(name: str) -> None:
    policy = POLICIES[name]
    params, obs, _ = scene(policy, name)
    state, rows, forgetful = np.zeros((1, H)), [], []
    for s in obs:
        forgetful.append(
            policy.mode.act(params[None, : policy.mode.num_params], s[None], np.zeros((1, H)))[0]
        )
        outputs, state = policy.outputs.act(params[None, : policy.mode.num_params], s[None], state)
        rows.append(outputs)
    whole, _ = policy.outputs.call(
        *map(torch.tensor, (params[: policy.mode.num_params], obs, np.zeros(H)))
    )  # fmt: skip
    assert np.concatenate(rows) == close(whole.detach().numpy())
    if not policy.choices:
        assert np.abs(np.concatenate(rows) - np.concatenate(forgetful))[1:].min() > 1e-4


def test_the_log_probability_of_recorded_rollouts_of_a_recurrent_policy_is_that_of_stepping() -> None:
    policy = TorchPolicy(Recurrent(4, H, 2), 4, choices=(2,), hidden_size=H)
    evaluator = EpisodeEvaluator(functools.partial(gym.make, "CartPole-v1"), policy)
    params = 2 * policy.start(stream(1))
    evaluation = evaluator.evaluate(Proposal(params[None], params, 3, sample=True, record=True), (1, "test"))
    assert len(evaluation.rollouts[0]) == 3
    for rollout in evaluation.rollouts[0]:
        state, log_probs = np.zeros((1, H)), []
        for s, a in zip(rollout.obs, rollout.actions, strict=True):
            logits, state = policy.outputs.act(params[None], s[None], state)
            log_probs.append(logits[0, int(a[0])] - np.log(np.exp(logits[0]).sum()))
        assert policy.log_prob(params, rollout.obs, rollout.actions) == close(np.array(log_probs))
        assert np.abs(rollout.score(np.ones(len(log_probs)))).max() > 0


# In a search


def cart_pole() -> TorchPolicy:
    return TorchPolicy(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), 4, choices=(2,))


def test_rollouts_do_not_depend_on_the_number_of_copies_or_workers() -> None:
    policy, make = cart_pole(), functools.partial(gym.make, "CartPole-v1")
    params = np.array([policy.start(stream(i)) for i in range(3)])
    proposal = Proposal(params, params[0], 2, sample=True, record=True)
    many = EpisodeEvaluator(make, policy).evaluate(proposal, (1, "test"))
    one = EpisodeEvaluator(make, policy, max_copies=1).evaluate(proposal, (1, "test"))
    with PoolEvaluator(EpisodeEvaluator(make, policy), workers=1) as pool:
        apart = pool.evaluate(proposal, (1, "test"))
    assert not many.failures
    assert many.returns.tobytes() == one.returns.tobytes() == apart.returns.tobytes()
    assert many.rollouts[1][0].actions.tobytes() == apart.rollouts[1][0].actions.tobytes()


def test_rollouts_are_those_of_our_policy_with_the_same_parameters() -> None:
    ours, make = Softmax(MLP(4, 2, (8,)), (2,)), functools.partial(gym.make, "CartPole-v1")
    params = ours.start(stream(1))[None]
    proposal = Proposal(params, params[0], 5, sample=True)
    expected = EpisodeEvaluator(make, ours).evaluate(proposal, (1, "test"))
    evaluation = EpisodeEvaluator(make, cart_pole()).evaluate(proposal, (1, "test"))
    assert evaluation.returns.tolist() == expected.returns.tolist()


@pytest.mark.parametrize("recurrent", [False, True])
def test_reinforce_improves_a_torch_policy(recurrent: bool) -> None:
    policy = cart_pole()
    if recurrent:
        policy = TorchPolicy(Recurrent(4, H, 2), 4, choices=(2,), hidden_size=H)
    evaluator = EpisodeEvaluator(functools.partial(gym.make, "CartPole-v1"), policy)
    optimizer = Reinforce(episodes=10, learning_rate=0.05)
    search = optimizer.search(Domain.unbounded(policy.start(stream(1))), stream(2))
    proposal, means = next(search), []
    for generation in range(12):
        evaluation = evaluator.evaluate(proposal, (3, generation))
        means.append(float(evaluation.returns.mean()))
        proposal = search.send(evaluation)
    assert np.mean(means[-3:]) > 1.8 * np.mean(means[:2])


def test_a_policy_that_does_not_fit_the_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one for observations of 4 numbers"):
        EpisodeEvaluator(functools.partial(gym.make, "CartPole-v1"), POLICIES["softmax linear"])


# Bad input


class Broken(nn.Module):  # type: ignore[misc]
    """A linear layer, and then something that a policy must not do."""

    def __init__(self, then: Any) -> None:
        super().__init__()
        self.layer, self.then = nn.Linear(O, 2), then

    def forward(self, obs: Any) -> Any:
        return self.then(self.layer(obs))


def poisoned() -> Any:
    module = nn.Linear(O, 2)
    nn.init.constant_(module.bias, float("nan"))
    return module


def frozen() -> Any:
    return nn.Linear(O, 2).requires_grad_(False)


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no head": (nn.Linear(O, 2), {}, r"expected either choices .* or action_size .*, got choices=\(\), action_size=0"),
    "two heads": (nn.Linear(O, 2), {"choices": (2,), "action_size": 2}, r"got choices=\(2,\), action_size=2"),
    "negative size": (nn.Linear(O, 2), {"action_size": -1}, "got .*action_size=-1"),
    "deviation": (nn.Linear(O, 2), {"action_size": 2, "initial_std": 0.0}, "initial_std: expected a positive number, got 0.0"),
    "no parameters": (nn.Tanh(), {"action_size": O}, r"expected parameters to train, got none in Tanh\(\)"),
    "frozen": (frozen(), {"action_size": 2}, "expected parameters to train, got none"),
    "not finite": (poisoned(), {"action_size": 2}, "expected finite parameters, got NaN or infinity in bias"),
    "outputs": (nn.Linear(O, 2), {"choices": (3,)}, r"shapes \[\(3, 3\), \(0,\)\] for three observations of 3 numbers, got \[\(3, 2\)"),
    "inputs": (nn.Linear(O + 1, 2), {"action_size": 2}, "three observations of 3 numbers, got RuntimeError: mat1 and mat2"),
    "not recurrent": (nn.Linear(O, 2), {"action_size": 2, "hidden_size": H}, "got TypeError: .*takes 2 positional"),
    "hidden size": (Recurrent(O, H, 2), {"action_size": 2, "hidden_size": 9}, r"got RuntimeError: .*hidden"),
    "recurrent": (Recurrent(O, H, 2), {"action_size": 2}, "got TypeError: .*hidden"),
    "constants": (Broken(lambda y: y.detach()), {"action_size": 2}, "depend on its parameters, got constants"),
    "batch statistics": (Broken(lambda y: y - y.mean(dim=0)), {"action_size": 2}, "use the statistics of a batch"),
    "random numbers": (Broken(lambda y: y + torch.rand_like(y)), {"action_size": 2}, "does it draw random numbers"),
    "batch norm without statistics": (nn.Sequential(nn.Linear(O, 2), nn.BatchNorm1d(2, track_running_stats=False)), {"action_size": 2}, "module: expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_module_is_refused(name: str) -> None:
    module, options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        TorchPolicy(module, O, **options)


def test_a_policy_prints_its_configuration_and_is_replaced_by_its_fields() -> None:
    policy = TorchPolicy(nn.Linear(O, 2), O, action_size=2, initial_std=0.25)
    assert "initial_std=0.25" in repr(policy)
    again = dataclasses.replace(policy, initial_std=0.5)
    assert again.start(stream(1))[-2:].tolist() == np.log([0.5, 0.5]).tolist()
    assert isinstance(again.mode, TorchMap)


def test_the_example_of_the_page_on_networks_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parent.parent.parent / "docs/how-to/own-network.md"
    code = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[0]
    exec(compile(code, page.name, "exec"), {})  # noqa: S102 - our own
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["10", "20"]
