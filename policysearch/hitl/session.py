"""A session: a method that proposes control laws, a person who walks under them, and a log of all that happened.

    Plan ──▶ Session.next ──▶ somebody walks ──▶ measured, skip, void, amend, undo, … ──▶ log ──▶ Session.next ──▶ …

The log is all there is. What is to be walked next is a function of the plan and of the events in force, so that a
session that was killed at any moment goes on with the same law. A result belongs to the *question* it answers
(generation, proposal, place in it). An amendment or an undone step rebuilds the search from the generation
concerned: as far as the method then asks the same questions, their answers still hold; from the first other
question on, the laws walked before are set aside, and come back if the questions do. A method that looks at ranks
only asks the same after an amendment that changes no rank.

A generation of which at least half is measured counts; the skipped laws are `Evaluation.unmeasured`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators.recorded import ReplayDiffers
from policysearch.exoskeleton.respirometry import Breaths, Estimate, estimate, mean_of_last
from policysearch.exoskeleton.torque_profile import project
from policysearch.hitl.log import (
    PACKAGES,
    Entry,
    Log,
    Record,
    Walked,
    folded,
    has_begun,
    in_force,
    parsed,
)
from policysearch.hitl.plan import PARAMETERS, Plan
from policysearch.hitl.rebuilt_search import RebuiltSearch, Turn
from policysearch.hitl.transition import steps, unvisited
from policysearch.ledger import Ledger, LedgerError, LedgerRefused, read
from policysearch.provenance import versions
from policysearch.seeding import stream

NO_TORQUE = np.array([0.0, 45.0, 25.0, 12.5])  # N·m/kg, % stride
#: Of the table.
COLUMNS = (
    "number", "purpose", "condition", "generation", "candidate", "minutes", *PARAMETERS, "rate", "standard error",
    "reduction", "status", "reason",
)  # fmt: skip
CONDITIONS = ("zero torque", "reference", "optimized")
#: A rate this many times larger or smaller than the median of those before it is asked about again (choice).
DOUBTFUL = 2.0
#: W/kg, gross: a person neither sleeps nor sprints (choice).
PLAUSIBLE = (0.5, 20.0)
#: W/kg, walking takes at least so much more than standing (choice).
SMALLEST_NET = 0.5


@dataclass(frozen=True, eq=False)
class Bout:
    """What is to be done next: walk under a law for some minutes, or stand."""

    item: str  # names it in the log
    purpose: str  # "warm-up", "baseline", "search", "re-test", "rest" or "validation"
    minutes: float
    law: Float[Array, "4"]  # N·m/kg, % stride
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


class Session:
    """A session that goes on; also a context manager. `begin`, `resume` or `view` makes one.

    Attributes:
        plan: what was decided before.
    """

    def __init__(self, plan: Plan, log: Log, clock: Callable[[], float] = time.time) -> None:
        self.plan, self._log, self._clock = plan, log, clock
        self._space = plan.space
        self._search = RebuiltSearch(plan)
        self._check_replay()
        self._refresh()

    # ------------------------------------------------------------------------------------- beginning and ending

    @classmethod
    def begin(cls, plan: Plan, path: Path | None = None, clock: Callable[[], float] = time.time) -> "Session":
        """A new session, logged at `path` (in memory only without).

        Raises:
            ValueError: for a plan without room for a single generation.
            LedgerError: if there is a session already, or the log cannot be written.
        """
        if plan.bouts < plan.first_generation:
            raise ValueError(
                f"bouts: expected at least one generation of {plan.optimizer}, got {plan.bouts}; "
                "plan for more, or smaller generations"
            )
        ledger = None if path is None else Ledger(path)
        log = Log(ledger, [])
        try:
            if ledger is not None and ledger.events:
                raise LedgerError(f"{path}: there is a session already; resume it, or choose another folder")
            log.note("plan", plan.document() | {"at": clock()})
            return cls._opened(plan, log, clock)
        except BaseException:
            log.close()
            raise

    @classmethod
    def resume(cls, path: Path, clock: Callable[[], float] = time.time) -> "Session":
        """The session logged at `path`, which goes on.

        Raises:
            LedgerError: if somebody else goes on with it, or it is no session.
            ReplayDiffers: if the search asks for other laws than it did before.
        """
        if not has_begun(path):
            raise LedgerError(f"{path}: no session is there")
        ledger = Ledger(path)
        try:
            plan, events = parsed(path, ledger.events)
            with _refusing(path):
                return cls._opened(plan, Log(ledger, events), clock)
        except BaseException:
            ledger.close()
            raise

    @classmethod
    def _opened(cls, plan: Plan, log: Log, clock: Callable[[], float]) -> "Session":
        session = cls(plan, log, clock)
        session._note("session", **versions(*PACKAGES))
        return session

    @classmethod
    def view(cls, path: Path) -> "Session":
        """The session logged at `path` as it stands, to look at; somebody else may go on with it.

        Raises:
            LedgerError: if it is no session.
        """
        plan, events = parsed(path, read(path))
        with _refusing(path):
            return cls(plan, Log(None, events))

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others go on."""
        self._log.close()

    # ----------------------------------------------------------------------------------------- what is to be done

    @property
    def next(self) -> Bout | None:
        """What is to be done next; None when the session is over."""
        return self._next

    @property
    def recommendation(self) -> Float[Array, "4"]:
        """The law to use now, which is not the luckiest: N·m/kg, % stride."""
        return self._law(self._search.recommendation)

    @property
    def entering(self) -> tuple[str, ...]:
        """The parameters with which the next law enters a region that nobody has confirmed."""
        bout = self._next
        if bout is None or not bout.law[0] > 0.0 or bout.item in self._state.confirmed:
            return ()
        new = unvisited(bout.law, self._visited, self.plan.widths)
        return tuple(name for name, is_new in zip(PARAMETERS, new, strict=True) if is_new)

    @property
    def path(self) -> Float[Array, "n 4"]:
        """The laws from the last one to the next, none far from the one before."""
        if self._next is None:
            raise RuntimeError("the session is over")
        law, history = self._next.law, self.history
        before = history[-1].law if history else NO_TORQUE
        if before[0] == 0.0:  # whose times mean nothing
            before = np.array([0.0, *law[1:]])
        elif law[0] == 0.0:
            law = np.array([0.0, *before[1:]])
        return steps(before, law, self.plan.widths)

    @property
    def _visited(self) -> Float[Array, "n 4"]:
        """The laws with torque that were walked, in order."""
        entries = self._log.entries.values()
        laws = [entry.law for entry in entries if entry.law[0] > 0.0 and entry.status != "skipped"]
        return np.array(laws).reshape(-1, len(PARAMETERS))

    # -------------------------------------------------------------------------------------------- what happened

    def estimate(self, breaths: Breaths, minutes: float, purpose: str = "search") -> Estimate:
        """The steady-state rate that the breaths of a bout suggest."""
        if purpose in ("baseline", "validation"):
            return mean_of_last(breaths, 60.0 * min(self.plan.averaged, minutes))
        return estimate(breaths, tau=self.plan.tau)

    def doubt(self, rate: float) -> str:
        """Why a rate (W/kg) should be asked about again; empty if it is plausible.

        Raises:
            ValueError: for a rate that is none.
        """
        if not 0.0 < rate < np.inf:
            raise ValueError(f"rate: expected a positive number of W/kg, got {rate:g}")
        low, high = PLAUSIBLE
        if not low <= rate <= high:
            return f"{rate:g} W/kg is not between {low:g} and {high:g} W/kg"
        known = [entry.rate for entry in self._state.done.values() if np.isfinite(entry.rate)]
        standing = self.plan.standing_rate
        if not known and rate < standing + SMALLEST_NET:
            return f"{rate:g} W/kg is less than {SMALLEST_NET:g} W/kg above standing, {standing:g} W/kg"
        if known:
            middle = float(np.median(known))
            if not middle / DOUBTFUL <= rate <= DOUBTFUL * middle:
                return f"{rate:g} W/kg is {rate / middle:.2g} times the median so far, {middle:.3g} W/kg"
        return ""

    def measured(
        self,
        rate: float,
        standard_error: float = np.nan,
        breaths: Breaths | None = None,
        *,
        of: Bout | None = None,
    ) -> None:
        """The next bout was walked, and this is its metabolic rate (W/kg, gross).

        Args:
            rate: the rate.
            standard_error: of the rate.
            breaths: from which it is estimated.
            of: the bout that was walked, if another one than `next` would be a mistake.

        Raises:
            ValueError: for a rate that is none, a law that has to be confirmed first, or another bout.
            RuntimeError: if the session is over.
        """
        bout = self._due(of)
        rate = self._checked(rate, bout.purpose)
        error = float(standard_error)
        self._note("bout", **_body(bout), rate=rate, standard_error=error, breaths=_plain(breaths))

    def walked(self, *, of: Bout | None = None) -> None:
        """The next bout was walked, or stood, and has nothing to be measured."""
        bout = self._due(of)
        if bout.is_measured:
            raise ValueError(f"{bout.label}: expected its metabolic rate (W/kg); skip it, or void it")
        self._note("bout", **_body(bout))

    def void(self, reason: str, minutes: float | None = None, breaths: Breaths | None = None) -> None:
        """The next bout was walked for some minutes (all of them unless given), and does not count; it comes again.

        Raises:
            ValueError: for minutes that nobody can have walked of it, or without a reason.
        """
        bout = self._due()
        minutes = bout.minutes if minutes is None else float(minutes)
        if not 0.0 < minutes <= bout.minutes:
            raise ValueError(f"minutes: expected more than 0 and at most {bout.minutes:g}, got {minutes:g}")
        body = _body(bout) | {"minutes": minutes}
        self._note("void", **body, reason=_words(reason), breaths=_plain(breaths))

    def skip(self, reason: str) -> None:
        """Nobody will walk the next bout.

        Raises:
            ValueError: if the generation would be less than half measured, or nothing could be compared without it.
        """
        bout = self._due(confirmed=False)
        if bout.purpose == "baseline":
            raise ValueError("baseline: all reductions need it; void it and walk it again")
        if bout.purpose == "search":
            turn = self._search.turns[bout.generation]
            entries = [self._state.done.get(item) for item in turn.items]
            skipped = sum(entry is not None and entry.status == "skipped" for entry in entries)
            if skipped + 1 > len(entries) // 2:
                raise ValueError(
                    f"{bout.label}: at least half of a generation has to be measured, and {skipped} of "
                    f"{len(entries)} laws are skipped already; walk it, or finish the search"
                )
        self._note("skip", **_body(bout), reason=_words(reason))

    def amend(self, number: int, rate: float, reason: str) -> None:
        """The rate of the bout with this number was another one.

        Raises:
            ValueError: if there is no such bout in force, for a rate that is none, or without a reason.
        """
        entries = {entry.number: entry for entry in self._state.done.values() if np.isfinite(entry.rate)}
        if number not in entries:
            known = ", ".join(map(str, sorted(entries))) or "none yet"
            raise ValueError(f"bout: expected the number of a measured one ({known}), got {number}")
        rate = self._checked(rate, entries[number].purpose)
        self._note("amend", item=entries[number].item, rate=rate, reason=_words(reason))

    def undo(self, reason: str) -> str:
        """Take the last bout, void, skip, amendment, re-test or finish back; returns what it was.

        Raises:
            ValueError: if there is nothing to take back, or without a reason.
        """
        stack = in_force(self._log.events)
        if not stack:
            raise ValueError("undo: there is nothing to take back")
        kind, body = self._log.events[stack[-1]]
        self._note("undo", reason=_words(reason))
        return f"{kind} {body.get('item', '')}".strip()

    def retest(self) -> None:
        """Walk the reference law next (after warm-up and baseline)."""
        self._note("retest")

    def finish(self, reason: str) -> None:
        """Propose no more laws, and go on to the validation."""
        if self._state.finished or not self._search.is_open:
            raise ValueError("finish: the search has ended already")
        self._note("finish", reason=_words(reason))

    def limit(self, upper_torque: float, reason: str) -> None:
        """Lower the upper torque (N·m/kg), for good.

        Raises:
            ValueError: for one that is higher than the present one, or not positive.
        """
        present = self._state.upper_torque
        if not 0.0 < upper_torque <= present:
            expected = f"above 0 and at most {present:g} N·m/kg, as limits are only ever lowered"
            raise ValueError(f"upper_torque: expected {expected}, got {upper_torque:g}")
        self._note("limit", upper_torque=float(upper_torque), reason=_words(reason))

    def confirm(self) -> None:
        """The operator has seen that the next law enters a new region."""
        if self._next is not None:
            self._note("confirm", item=self._next.item)

    def note(self, text: str) -> None:
        """Words for the report."""
        self._note("note", text=_words(text))

    # ------------------------------------------------------------------------------------------ what there is

    @property
    def upper_torque(self) -> float:
        """The upper torque in force, N·m/kg."""
        return self._state.upper_torque

    @property
    def history(self) -> list[Walked]:
        """All that the person did so far, what counts for nothing included."""
        entries = [entry for entry in self._log.entries.values() if entry.status != "skipped"]
        return [Walked(entry.purpose, entry.law, entry.minutes) for entry in entries]

    @property
    def events(self) -> tuple[Record, ...]:
        """The log: kinds and bodies; the number of an event is its place, from 1."""
        return tuple(self._log.events)

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        """What the search has asked for, generation by generation."""
        return tuple(turn.proposal for turn in self._search.turns)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every bout that was walked or skipped, in order, with what has become of it."""
        held = {entry.number: entry for entry in self._state.done.values()}
        asked = {item for turn in self._search.turns for item in turn.items}
        asked |= {bout.item for bout in self._validation(self._reference)}
        listed = []
        for logged in self._log.entries.values():
            entry = held.get(logged.number)
            if entry is None:
                entry = replace(logged, status="void" if logged.status == "void" else "undone")
            elif entry.purpose in ("search", "validation") and entry.item not in asked:
                entry = replace(entry, status="set aside")
            listed.append(entry)
        return tuple(listed)

    def reduction(self, rate: float) -> float:
        """% less net energy than without torque; NaN before that is measured."""
        baseline = self._state.done.get("baseline")
        if baseline is None:
            return float("nan")
        net = baseline.rate - self.plan.standing_rate
        return float(100.0 * (1.0 - (rate - self.plan.standing_rate) / net))

    def table(self) -> pd.DataFrame:
        """A row per entry."""
        rows = [
            {
                "number": entry.number,
                "purpose": entry.purpose,
                "condition": entry.condition,
                "generation": entry.generation,
                "candidate": entry.candidate,
                "minutes": entry.minutes,
                **dict(zip(PARAMETERS, entry.law.tolist(), strict=True)),
                "rate": entry.rate,
                "standard error": entry.standard_error,
                "reduction": self.reduction(entry.rate),
                "status": entry.status,
                "reason": entry.reason,
            }
            for entry in self.entries
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def validation(self) -> pd.DataFrame:
        """The mean rate of every condition that was validated (W/kg), and % less net energy than without torque."""
        rows = []
        wanted = {bout.item: bout.condition for bout in self._validation(self._reference)}
        walked = [self._state.done[item] for item in wanted if item in self._state.done]
        for condition in CONDITIONS:
            rates = [e.rate for e in walked if e.condition == condition and np.isfinite(e.rate)]
            if rates:
                rows.append({"condition": condition, "bouts": len(rates), "rate": float(np.mean(rates))})
        table = pd.DataFrame(rows, columns=["condition", "bouts", "rate"])
        net = table["rate"] - self.plan.standing_rate
        zero = net[table["condition"] == "zero torque"]
        return table.assign(reduction=100.0 * (1.0 - net / zero.iloc[0]) if (zero > 0.0).any() else np.nan)

    # ------------------------------------------------------------------------------------------------- inside

    def _note(self, kind: str, **body: Any) -> None:
        """Write an event down, then see what follows from it."""
        self._log.note(kind, body | {"at": self._clock()})
        self._refresh()

    def _checked(self, rate: float, purpose: str) -> float:
        """The rate, if it can be one."""
        rate, standing = float(rate), self.plan.standing_rate
        self.doubt(rate)
        if purpose == "baseline" and not rate > standing:
            raise ValueError(
                f"baseline: expected more than the {standing:g} W/kg of standing, got {rate:g} W/kg; one is wrong"
            )
        return rate

    def _due(self, of: Bout | None = None, *, confirmed: bool = True) -> Bout:
        if self._next is None:
            raise RuntimeError("the session is over")
        if of is not None and not of.same_as(self._next):
            raise ValueError(f"bout: expected what came of {self._next.label}, got that of {of.label}")
        if confirmed and self.entering:
            new = ", ".join(self.entering)
            raise ValueError(f"{self._next.label}: its {new} is far from any law before; confirm it first")
        return self._next

    def _law(self, params: Float[Array, "d"]) -> Float[Array, "4"]:
        return project(self._space.decode(params), self._state.upper_torque)

    def _refresh(self) -> None:
        """Bring search and agenda up to the log."""
        self._fold()
        asked = self._asked()
        if asked != next((body for kind, body in reversed(self._log.events) if kind == "asked"), None):
            self._log.note("asked", asked)

    def _fold(self) -> None:
        self._state = folded(self._log.events, self._log.entries, self.plan)
        self._search.update(self._answers)
        self._next = next(self._agenda(), None)

    def _asked(self) -> dict[str, Any]:
        """What the search asks for now, as the log has it."""
        search = self._search
        if not search.is_open or self._state.finished:
            return {"ended": True, "recommendation": self.recommendation.tolist()}
        turn = search.turns[-1]
        return {
            "generation": turn.generation,
            "items": turn.items,
            "laws": [self._law(turn.proposal.params[i]).tolist() for i, _ in turn.order],
            "recommendation": self.recommendation.tolist(),
        }

    def _check_replay(self) -> None:
        """Compare what the search asked for last, before, with what it asks for now.

        Raises:
            ReplayDiffers: if that is something else.
        """
        events = self._log.events
        last = max((i for i, (kind, _) in enumerate(events) if kind == "asked"), default=None)
        if last is None:
            return
        log, self._log = self._log, Log(None, events[:last])
        self._fold()
        self._log = log
        if self._asked() != events[last][1]:
            sessions = [body for kind, body in events if kind == "session"]
            then = ", ".join(f"{k} {v}" for k, v in (sessions[-1] if sessions else {}).items() if k != "at")
            raise ReplayDiffers(
                "the search asks for other laws than it did before, so it cannot go on; it was last run with "
                f"{then}: install that again"
            )

    def _answers(self, turn: Turn) -> Evaluation | None:
        """What the method is told of a generation; None before all of it is measured or skipped."""
        entries = [self._state.done.get(item) for item in turn.items]
        if any(entry is None for entry in entries) or (
            self.plan.baseline and "baseline" not in self._state.done
        ):
            return None
        returns = np.full((len(turn.proposal.params), turn.proposal.episodes), np.nan)
        for (i, j), entry in zip(turn.order, entries, strict=True):
            if entry is not None and entry.status != "skipped":
                returns[i, j] = self._return(entry.rate)
        count = np.isfinite(returns).sum(axis=1, keepdims=True)
        mean = np.nansum(returns, axis=1, keepdims=True) / np.maximum(count, 1)
        returns = np.where(np.isnan(returns) & (count > 0), mean, returns)
        unmeasured = tuple(np.flatnonzero(count[:, 0] == 0).tolist())
        minutes = np.full(returns.shape, round(self.plan.minutes))
        return Evaluation(turn.proposal.params, returns, minutes, unmeasured=unmeasured)

    def _return(self, rate: float) -> float:
        return self.reduction(rate) if self.plan.baseline else -rate

    @property
    def _reference(self) -> Float[Array, "4"]:
        return project(np.array(self.plan.reference), self._state.upper_torque)

    def _agenda(self) -> Iterator[Bout]:
        """All that is not done yet, in order."""
        done = self._state.done
        yield from (bout for bout in self._wanted() if bout.item not in done)

    def _wanted(self) -> Iterator[Bout]:
        plan, reference = self.plan, self._reference
        if plan.warm_up:
            yield Bout("warm-up", "warm-up", plan.warm_up, reference, "warm-up under the reference law")
        if plan.baseline:
            yield Bout("baseline", "baseline", plan.baseline, NO_TORQUE, "baseline without torque")
        for number in self._state.retests:
            yield Bout(
                f"re-test/asked/{number}", "re-test", plan.minutes, reference, "re-test of the reference law"
            )
        for g, turn in enumerate(self._search.turns):
            if turn.told is None and self._search.is_open and not self._state.finished:
                yield from self._generation(g, turn)
            if turn.told is not None and plan.rest:
                yield Bout(
                    f"rest/{g}/{turn.digest}", "rest", plan.rest, NO_TORQUE, f"rest after generation {g + 1}"
                )
            if turn.told is not None and plan.retest and (g + 1) % plan.retest == 0:
                label = "re-test of the reference law"
                yield Bout(
                    f"re-test/{g}/{turn.digest}", "re-test", plan.minutes, reference, label, generation=g
                )
        if plan.validation and (self._state.finished or not self._search.is_open):
            yield from self._validation(reference)

    def _generation(self, g: int, turn: Turn) -> Iterator[Bout]:
        for place, ((i, _), item) in enumerate(zip(turn.order, turn.items, strict=True), 1):
            label = f"generation {g + 1}, bout {place} of {len(turn.order)}"
            law = self._law(turn.proposal.params[i])
            yield Bout(item, "search", self.plan.minutes, law, label, generation=g, candidate=i)

    def _validation(self, reference: Float[Array, "4"]) -> Iterator[Bout]:
        """Double reversal, ABCCBA, of the three conditions in random order."""
        optimized = self.recommendation
        laws = dict(zip(CONDITIONS, (NO_TORQUE, reference, optimized), strict=True))
        order = stream(self.plan.seed, "validation", self.plan.participant).permutation(len(CONDITIONS))
        names = [CONDITIONS[i] for i in order]
        of = ",".join(repr(number) for number in (*reference.tolist(), *optimized.tolist()))
        for place, name in enumerate(names + names[::-1], 1):
            label = f"validation, bout {place} of {2 * len(names)}: {name}"
            item = f"validation/{place}/{of}"
            yield Bout(item, "validation", self.plan.validation, laws[name], label, condition=name)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Refuse a log whose events make no session."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise LedgerRefused(f"{path}: not the log of a session: {why}; it is left as it is") from error


def _body(bout: Bout) -> dict[str, Any]:
    return {
        "item": bout.item,
        "purpose": bout.purpose,
        "minutes": bout.minutes,
        "law": bout.law.tolist(),
        "condition": bout.condition,
        "generation": bout.generation,
        "candidate": bout.candidate,
    }


def _plain(breaths: Breaths | None) -> list[list[float]] | None:
    return None if breaths is None else [breaths.time.tolist(), breaths.rate.tolist()]


def _words(text: str) -> str:
    if not text.strip():
        raise ValueError("reason: expected a few words, got none")
    return text.strip()
