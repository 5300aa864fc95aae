"""Recorded evaluations: replay gives the same search, and says when it does not."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from problems import ANYWHERE, WALKER, Walk
from same_rollouts import assert_same

from policysearch.core import Domain, Evaluation, Failure, Moments, Proposal
from policysearch.evaluators import EpisodeEvaluator
from policysearch.evaluators.recorded import Record, Recorded, ReplayDiffers, digest, recall, record
from policysearch.optimizers import OPTIMIZERS, Whitened
from policysearch.plain_data import decode, encode
from policysearch.search import Budget, Generation, generations


class Counting(EpisodeEvaluator):
    """Walks, and the proposals that were run."""

    def __init__(self) -> None:
        super().__init__(Walk, WALKER)
        self.run: list[Proposal] = []

    def evaluate(self, proposal: Proposal, key: Any) -> Evaluation:
        self.run.append(proposal)
        return super().evaluate(proposal, key)


def optimizer(name: str) -> Any:
    whitened = name.startswith("whitened:")
    inner = OPTIMIZERS[name.removeprefix("whitened:")]()
    return Whitened(inner, WALKER) if whitened else inner


def search(name: str, evaluator: Any, rollouts: int) -> list[Generation]:
    domain = Domain.unbounded(np.zeros(4))
    budget = Budget(rollouts=rollouts)
    return list(generations(optimizer(name), evaluator, domain, budget=budget, seed=3, problem=("walk",)))


@pytest.mark.parametrize("name", [*ANYWHERE, "whitened:ars", "whitened:reinforce"])
def test_a_search_that_is_replayed_from_a_part_of_its_record_goes_on_to_the_same_end(name: str) -> None:
    records: list[Record] = []
    calm = search(name, Recorded(Counting(), (), records.append), 120)
    assert len(records) == len(calm) >= 2
    kept = decode(encode(records[: len(records) // 2]))  # as it comes out of a ledger
    inner, new = Counting(), list[Record]()
    again = search(name, Recorded(inner, kept, new.append), 120)
    assert [encode(entry) for entry in new] == [encode(entry) for entry in records[len(kept) :]]
    for one, other in zip(calm, again, strict=True):
        assert one.recommendation.tobytes() == other.recommendation.tobytes()
        assert one.proposal.params.tobytes() == other.proposal.params.tobytes()
        assert (one.rollouts, one.steps) == (other.rollouts, other.steps)
        assert one.evaluation.returns.tobytes() == other.evaluation.returns.tobytes()
    rerun = len(inner.run) - len(new)
    assert rerun == (len(kept) if calm[0].proposal.record else 0)  # only who needs rollouts runs them again


@pytest.mark.parametrize("name", ["random-search", "reinforce"])
def test_a_search_that_asks_for_something_else_stops(name: str) -> None:
    records: list[Record] = []
    search(name, Recorded(Counting(), (), records.append), 60)
    records[1] = {**records[1], "proposal": "0" * 32}
    with pytest.raises(ReplayDiffers, match="generation 1 asks for other parameters than it did before"):
        search(name, Recorded(Counting(), records, lambda _: None), 60)


def test_rollouts_that_come_out_otherwise_stop_the_search() -> None:
    records: list[Record] = []
    search("reinforce", Recorded(Counting(), (), records.append), 60)
    records[2]["returns"][0][3] += 1e-9
    with pytest.raises(ReplayDiffers, match="the rollouts of generation 2 give other returns than before"):
        search("reinforce", Recorded(Counting(), records, lambda _: None), 60)


def test_a_digest_sees_everything_that_decides_an_evaluation_or_would_be_deployed() -> None:
    params = np.arange(6.0).reshape(2, 3)
    base = Proposal(params, params[0])
    changed = params.copy()
    changed[1, 2] = np.nextafter(5.0, 6.0)
    others = [
        replace(base, params=changed),
        replace(base, params=np.vstack([params, params[:1]])),
        replace(base, recommendation=changed[1]),
        replace(base, episodes=2),
        replace(base, sample=True),
        replace(base, record=True),
        replace(base, moments=True),
        replace(base, purpose="re-evaluation"),
    ]
    assert len({digest(proposal) for proposal in [base, *others]}) == 1 + len(others)
    assert digest(base) == digest(replace(base, diagnostics={"sigma": 1.0}))


def test_a_record_holds_all_of_an_evaluation_but_its_rollouts() -> None:
    params = np.arange(4.0).reshape(2, 2)
    proposal = Proposal(params, params[0], episodes=2)
    moments = Moments(7, np.array([1.0, np.inf]), np.array([0.5, np.nan]))
    failure = Failure(0, 1, 99, "RuntimeError: a leg broke", "Traceback …")
    returns, steps = np.array([[0.1 + 0.2, np.nan], [-np.inf, 1e300]]), np.array([[3, 4], [5, 6]])
    evaluation = Evaluation(
        params, returns, steps, (failure,), moments=moments, clipped_steps=2, retried_rollouts=1
    )
    text = encode(record(proposal, evaluation))
    assert json.loads(text)
    assert_same(recall(proposal, decode(text)), evaluation)
    assert recall(proposal, decode(text)).retried_rollouts == 1


def test_a_record_knows_who_was_not_measured() -> None:
    params = np.arange(8.0).reshape(4, 2)
    proposal = Proposal(params, params[0])
    returns, steps = np.array([[np.nan], [1.0], [np.nan], [3.0]]), np.zeros((4, 1), dtype=int)
    kept = decode(encode(record(proposal, Evaluation(params, returns, steps, unmeasured=(2,)))))
    assert recall(proposal, kept).unmeasured == (2,)
    assert recall(proposal, kept).fitness.tolist() == [-1.0, 1.0, 2.0, 3.0]
