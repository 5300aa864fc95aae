"""The agenda of a session: every bout in order, from the plan, the events in force, and the search they rebuild."""

import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.asking.search import AskedGeneration
from policysearch.core import Array, Evaluation
from policysearch.evaluators.recorded import digest
from policysearch.hitl.plan import CONDITIONS, NO_DEVICE, SessionPlan
from policysearch.hitl.state import SessionState, day_item
from policysearch.search import AskTell, Budget
from policysearch.seeding import stream

AVERAGED = ("standing", "baseline", "validation")  # bouts of which the last minutes are averaged
LETTERS = string.ascii_uppercase  # of the conditions of a blind validation, in the order of their first bouts


@dataclass(frozen=True, eq=False)
class Bout:
    """What is next: to walk under a law for some minutes, or to stand."""

    item: str  # its name in the log
    purpose: str  # "standing", "warm-up", "baseline", "search", "re-test", "rest" or "validation"
    minutes: float
    law: Float[Array, "d"]  # of an ankle: N·m/kg, % stride
    label: str  # for people
    condition: str = ""  # of a validation
    generation: int = -1
    candidate: int = -1

    @property
    def is_measured(self) -> bool:
        """Whether its metabolic rate is wanted."""
        return self.purpose not in ("warm-up", "rest")

    def same_as(self, other: "Bout") -> bool:
        """Whether it is the same bout under the same law."""
        return self.item == other.item and np.array_equal(self.law, other.law)

    @property
    def body(self) -> dict[str, Any]:
        """What the log keeps of it."""
        kept = vars(self) | {"law": self.law.tolist()}
        return {name: value for name, value in kept.items() if name != "label"}


class RebuiltSearch:
    """The search of a plan, which is run again when an answer changes that it has been told.

    Attributes:
        space: of the laws.
        generations: what was asked so far, each with its questions in the order of walking.
        told: the evaluations of them that the method was told.
    """

    def __init__(self, plan: SessionPlan) -> None:
        self._plan, self.space = plan, plan.space
        self._restart()

    @property
    def is_open(self) -> bool:
        """Whether the last generation waits for answers; else the search has ended."""
        return len(self.told) < len(self.generations)

    @property
    def recommendation(self) -> Float[Array, "d"]:
        """What to deploy now, as coordinates."""
        return self._search.recommendation

    def update(self, answers: Callable[[AskedGeneration], Evaluation | None]) -> None:
        """Tell the method what it has not been told, or all of it again if it was told something else."""
        if any(not _same(told, answers(g)) for g, told in zip(self.generations, self.told, strict=False)):
            self._restart()
        while self.is_open and (evaluation := answers(self.generations[-1])) is not None:
            self.told.append(evaluation)
            self._search.tell(evaluation)
            self._ask()

    def _restart(self) -> None:
        plan = self._plan
        self._search = AskTell(plan.method(), self.space.domain, plan.seed, "session", plan.participant)
        self.generations: list[AskedGeneration] = []
        self.told: list[Evaluation] = []
        self._ask()

    def _ask(self) -> None:
        """Open the next generation, if the budget has room for it."""
        spent = sum(generation.proposal.cost for generation in self.generations)
        if self._search.finished or not Budget(self._plan.bouts).allows(self._search.ask(), spent, 0):
            return
        proposal, g = self._search.ask(), len(self.generations)
        pairs = proposal.pairs
        if self._plan.shuffle:
            order = stream(self._plan.seed, "order", self._plan.participant, g).permutation(len(pairs))
            pairs = [pairs[i] for i in order]
        self.generations.append(AskedGeneration.of(proposal, g, digest(proposal), pairs))


def _same(a: Evaluation, b: Evaluation | None) -> bool:
    return b is not None and np.array_equal(a.returns, b.returns, equal_nan=True)


@dataclass(frozen=True, eq=False)
class Agenda:
    """The bouts of a session, done or not; warm-up and baseline first, the validation last."""

    plan: SessionPlan
    state: SessionState
    search: RebuiltSearch

    @property
    def next(self) -> Bout | None:
        """The first bout that is not done; None when the session is over."""
        if self.state.ended:
            return None
        return next((bout for bout in self.bouts() if bout.item not in self.state.done), None)

    @property
    def is_searching(self) -> bool:
        """Whether laws of the search are still to be walked."""
        return self.search.is_open and not self.state.finished

    @property
    def recommendation(self) -> Float[Array, "d"]:
        """The law to use now."""
        return self.plan.laws.project(
            self.search.space.decode(self.search.recommendation), self.state.upper_torque
        )

    @property
    def reference(self) -> Float[Array, "d"]:
        """The law of warm-up, re-tests and validation."""
        return self.plan.laws.project(np.array(self.plan.reference), self.state.upper_torque)

    def law(self, params: Float[Array, "d"]) -> Float[Array, "d"]:
        """The feasible law of the search's coordinates, as it can be walked next."""
        return self.plan.laws.project(self.search.space.decode(params), self.state.ceiling)

    def asked(self) -> dict[str, Any]:
        """What the search asks for now, as the log has it."""
        if not self.is_searching:
            return {"ended": True, "recommendation": self.recommendation.tolist()}
        generation = self.search.generations[-1]
        return {
            "generation": generation.number,
            "items": list(generation.questions.values()),
            "laws": [self.law(generation.proposal.params[i]).tolist() for i, _ in generation.questions],
            "recommendation": self.recommendation.tolist(),
        }

    def bouts(self) -> Iterator[Bout]:
        """Every bout that is known now, in order."""
        plan, label = self.plan, "re-test of the reference law"
        reference, no_torque = plan.laws.project(self.reference, self.state.ceiling), plan.laws.no_torque
        day = self.state.day
        standing, warm_up, baseline, of = (
            *(day_item(each, day) for each in ("standing", "warm-up", "baseline")),
            f" of day {day}" * (day > 1),
        )
        if plan.standing:
            yield Bout(standing, "standing", plan.standing, no_torque, f"standing still{of}")
        if plan.warm_up:
            yield Bout(warm_up, "warm-up", plan.warm_up, reference, f"warm-up under the reference law{of}")
        if plan.baseline:
            yield Bout(baseline, "baseline", plan.baseline, no_torque, f"baseline without torque{of}")
        for number in self.state.retests:
            yield Bout(f"re-test/asked/{number}", "re-test", plan.minutes, reference, label)
        for g, generation in enumerate(self.search.generations):
            key = f"{g}/{generation.digest}"
            if g < len(self.search.told):
                if plan.rest:
                    words = f"rest after generation {g + 1}"
                    yield Bout(f"rest/{key}", "rest", plan.rest, no_torque, words)
                if plan.retest and (g + 1) % plan.retest == 0:
                    yield Bout(f"re-test/{key}", "re-test", plan.minutes, reference, label, generation=g)
            elif self.is_searching:
                yield from self._searched(generation)
        if plan.validation and not self.is_searching and not self._waits():
            yield from self.validation()

    def _waits(self) -> bool:
        """Whether the result of a law of the search is to follow, on which the recommendation may depend."""
        items = [item for generation in self.search.generations for item in generation.questions.values()]
        return any(item in self.state.done and self.state.done[item].waits for item in items)

    def _searched(self, generation: AskedGeneration) -> Iterator[Bout]:
        g, count = generation.number, len(generation.questions)
        for place, ((i, _), item) in enumerate(generation.questions.items(), 1):
            label = f"generation {g + 1}, bout {place} of {count}"
            law = self.law(generation.proposal.params[i])
            yield Bout(item, "search", self.plan.minutes, law, label, generation=g, candidate=i)

    def validation(self) -> Iterator[Bout]:
        """The conditions in their order, and back; there is no optimized law before a generation is complete."""
        plan, reference, optimized = self.plan, self.reference, self.recommendation
        no_torque, every = plan.laws.no_torque, plan.validated
        laws = dict(zip(CONDITIONS, (no_torque, reference, optimized), strict=True)) | {NO_DEVICE: no_torque}
        laws |= {name: np.array(law, dtype=float) for name, law in plan.other_laws.items()}
        names = [every[i] for i in self._order() if self.search.told or every[i] != "optimized"]
        of = ",".join(repr(number) for number in (*reference.tolist(), *optimized.tolist()))
        count = (1 + plan.reversal) * len(names)
        for place, name in enumerate((names + names[::-1])[:count], 1):
            if plan.validation_rest and place > 1:
                rest, words = f"rest/validation/{place}/{of}", f"rest before bout {place} of the validation"
                yield Bout(rest, "rest", plan.validation_rest, no_torque, words)
            shown = LETTERS[names.index(name)] if self.state.blind else name
            label = f"validation, bout {place} of {count}: {shown}"
            law = plan.laws.project(laws[name], self.state.ceiling)
            yield Bout(f"validation/{place}/{of}", "validation", plan.validation, law, label, condition=name)

    def _order(self) -> list[int]:
        """The order of the conditions: random, or that of the Williams design which this participant's number has."""
        plan, count = self.plan, len(self.plan.validated)
        code = re.search(r"\d+$", plan.participant)
        if plan.order == "random" or code is None:
            order: list[int] = stream(plan.seed, "validation", plan.participant).permutation(count).tolist()
            return order
        orders = williams(count)
        block, place = divmod(int(code[0]) - 1, len(orders))
        return list(orders[stream(plan.seed, "orders", block).permutation(len(orders))[place]])


def williams(count: int) -> list[tuple[int, ...]]:
    """Orders of conditions in which each is at every place, and after every other one, equally often.

    Williams 1949 (Aust J Sci Res A 2:149): row r of a cyclic square is r + 0, 1, −1, 2, −2, … modulo the count; an
    odd one needs the reversed rows, too. Sorted.
    """
    first = [(place + 1) // 2 * (1 if place % 2 else -1) for place in range(count)]
    rows = {tuple((r + step) % count for step in first) for r in range(count)}
    return sorted(rows | ({row[::-1] for row in rows} if count % 2 else set()))
