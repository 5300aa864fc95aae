"""Rock–paper–scissors: the opponent by hand, and exact returns against simulated ones."""

import itertools

import numpy as np
import pytest

from policysearch.core import Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.policies import Linear, Softmax
from policysearch.seeding import stream
from policysearch.simulators.rock_paper_scissors import (
    ROUNDS,
    RockPaperScissorsEnv,
    best_response,
    expected_return,
)

ROCK, PAPER, SCISSORS = range(3)
UNIFORM = np.ones(3) / 3

#: Our moves so far, and the replies that are worth most against them.
REPLIES = [
    ((0, 0, 0), {ROCK, PAPER, SCISSORS}),
    ((1, 0, 0), {PAPER}),
    ((0, 1, 0), {SCISSORS}),
    ((0, 0, 1), {ROCK}),
    ((1, 1, 0), {PAPER}),  # beats one and never loses
    ((2, 3, 0), {PAPER}),  # worth 2 − 0, scissors 3 − 2
    ((2, 4, 0), {PAPER, SCISSORS}),  # worth 2 − 0 and 4 − 2
    ((1, 0, 5), {ROCK}),
    ((3, 3, 3), {ROCK, PAPER, SCISSORS}),
]


@pytest.mark.parametrize(("counts", "replies"), REPLIES)
def test_the_opponent_plays_a_best_response_and_each_of_equals_as_often(
    counts: tuple[int, int, int], replies: set[int]
) -> None:
    lucks = (np.arange(60) + 0.5) / 60
    played = [best_response(np.array(counts), luck) for luck in lucks]
    assert np.bincount(played, minlength=3).tolist() == [
        60 // len(replies) if move in replies else 0 for move in range(3)
    ]
    assert best_response(np.array(counts), np.nextafter(1.0, 0.0)) == max(replies)


@pytest.mark.parametrize("move", [ROCK, PAPER, SCISSORS])
def test_a_player_of_one_move_loses_every_round_but_the_first(move: int) -> None:
    env, first = RockPaperScissorsEnv(), []
    for seed in range(30):
        obs, _ = env.reset(seed=seed)
        rounds = [env.step(move) for _ in range(ROUNDS)]
        rewards = [reward for _, reward, *_ in rounds]
        assert rewards[1:] == [-1.0] * (ROUNDS - 1)
        assert [seen for seen, *_ in rounds] == [obs] * ROUNDS == [0] * ROUNDS
        assert [ended for _, _, *ended, _ in rounds] == [[False, False]] * (ROUNDS - 1) + [[True, False]]
        first.append(rewards[0])
    assert set(first) == {-1.0, 0.0, 1.0}
    assert expected_return(np.eye(3)[move]) == -(ROUNDS - 1)


def test_who_knows_the_opponent_wins_every_round_but_the_first() -> None:
    env = RockPaperScissorsEnv()
    env.reset(seed=1)
    # rock; then scissors against paper; then, as (1, 0, 1) is worth 1 − 0 to rock, paper; …
    counts, total = np.zeros(3, dtype=int), 0.0
    for t in range(ROUNDS):
        move = ROCK if t == 0 else (best_response(counts, env._world.luck[t]) + 1) % 3
        total += env.step(move)[1] if t else 0 * env.step(move)[1]
        counts[move] += 1
    assert total == ROUNDS - 1


def test_two_rounds_worked_by_hand() -> None:
    # the first round is worth 0; then m is answered by m + 1, which m + 2 beats and m loses to:
    # Σ_m p_m (p_{m+2} − p_m) = (0.5·0.2 + 0.3·0.5 + 0.2·0.3) − (0.25 + 0.09 + 0.04)
    p = np.array([0.5, 0.3, 0.2])
    assert expected_return(p, rounds=1) == pytest.approx(0.0, abs=1e-15)
    assert expected_return(p, rounds=2) == pytest.approx(-0.07)


def test_the_exact_return_is_that_of_all_sequences_of_moves() -> None:
    p, rounds, total = np.array([0.6, 0.1, 0.3]), 5, 0.0
    for moves in itertools.product(range(3), repeat=rounds):
        chance, counts = float(np.prod(p[list(moves)])), [0, 0, 0]
        for move in moves:
            worth = [counts[j - 1] - counts[(j + 1) % 3] for j in range(3)]
            replies = [j for j in range(3) if worth[j] == max(worth)]
            total += chance * float(np.mean([(move - j + 1) % 3 - 1 for j in replies]))
            counts[move] += 1
    assert expected_return(p, rounds) == pytest.approx(total, rel=1e-12)


def test_the_uniform_strategy_gets_exactly_nothing_and_no_other_gets_more() -> None:
    assert expected_return(UNIFORM) == 0.0
    rng = stream("strategies")
    for concentration in (1.0, 10.0, 100.0):
        for p in rng.dirichlet(np.full(3, concentration), 20):
            assert expected_return(p, 8) < 0.0
    grid = [np.array([i, j, 10 - i - j]) / 10 for i in range(11) for j in range(11 - i)]
    assert max(expected_return(p, 6) for p in grid) < 0.0


def test_the_mean_return_of_an_evaluation_is_the_exact_one() -> None:
    p = np.array([0.6, 0.3, 0.1])
    evaluator = CompiledEvaluator(
        RockPaperScissorsEnv.simulator, Softmax(Linear(1, 3, bias=False), (3,)), max_episode_steps=100
    )
    theta = np.log(p)
    returns = evaluator.evaluate(Proposal(theta[None], theta, 4000, sample=True), (1,)).returns
    truth, error = expected_return(p), returns.std() / np.sqrt(returns.size)
    assert error < 0.03 * abs(truth)
    assert abs(returns.mean() - truth) < 4 * error
