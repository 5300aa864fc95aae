"""A tuning that is watched: the value of every candidate over the rollouts, the best so far, and its parameters.

A ledger holds no parameters: they are those that the method asks for again, step by step, when it is told what was
recorded. A method that needs an extra, or is no part of the package, is not asked; its tuning is shown without them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from policysearch.ask_tell import Conversation
from policysearch.core import needs_of
from policysearch.evaluators.functions import NOT_RUN, sign_of
from policysearch.evaluators.recorded import digest, recall
from policysearch.ledger import Event
from policysearch.optimizers import OPTIMIZERS, build
from policysearch.parameters import parameter_of
from policysearch.space import Space
from policysearch.tune import tries
from policysearch.tune.bodies import body_of
from policysearch.tune.journal import NAME
from policysearch.tune.known import NOTHING, KnownTries
from policysearch.tune.prepared import around
from policysearch.watch.comparison import described
from policysearch.watch.follow import Parts
from policysearch.watch.plain import numbers, plain

#: Candidates that a page is sent; of more, those are left out that are neither recent nor the best at their time.
MAX_SHOWN = 3000
#: Failures that a page lists.
MAX_FAILURES = 50


class WatchedTuning:
    """What is known of a tuning; a `policysearch.watch.follow.View`.

    Args:
        folder: of the tuning.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._sessions: list[dict[str, Any]] = []
        self._request: dict[str, Any] = {}
        self._known = NOTHING
        self._events: list[tuple[str, Any]] = []  # of a person
        self._records: list[dict[str, Any]] = []
        self._search: Conversation | None = None
        self._rows: list[dict[str, Any]] = []  # a candidate each
        self._failures: list[dict[str, Any]] = []
        self._after = 0  # rollouts after the search

    def take(self, event: Event) -> None:
        """Take in the next event."""
        body = body_of(self._path, event)
        match event.kind:
            case "request":
                self._request = body
                self._begin()
            case "known":
                self._known = KnownTries.from_document(body, self._space)
                self._begin()
            case "session":
                self._sessions.append(body)
            case "generation":
                self._records.append(body)
                self._generation(body)
            case "after":
                self._after += sum(map(len, body["record"]["returns"]))
            case "retry":
                kept = [record.get("failures", ()) for record in self._records]
                failed = (any(not str(failure[3]).startswith(NOT_RUN) for failure in each) for each in kept)
                del self._records[next((i for i, has in enumerate(failed) if has), len(kept)) :]
                self._begin()
            case kind if kind in tries.KINDS:
                self._events.append((kind, body))
                self._typed()

    @property
    def _space(self) -> Space:
        return Space(tuple(map(parameter_of, self._request["space"])))

    @property
    def _sign(self) -> float:
        return sign_of(self._request.get("goal", "maximise"))

    def _begin(self) -> None:
        """Begin the search again, and tell it what is recorded."""
        self._rows, self._failures = [], []
        method = dict(self._request["optimizer"])
        name = str(method.pop("method"))
        if OPTIMIZERS.is_at_hand(name) and not needs_of(OPTIMIZERS[name]).extra:
            domain = self._known.domain(self._space, self._request["goal"])
            optimizer = around(build(name, method), self._request)
            self._search = Conversation(optimizer, domain, self._request["seed"], "tune", name)
        for record in self._records:
            self._generation(record)

    def _generation(self, record: dict[str, Any]) -> None:
        """Take in a generation: a row for each of its candidates."""
        named = self._named(record)
        returns, unmeasured = record["returns"], record.get("unmeasured", ())
        number = self._rows[-1]["generation"] + 1 if self._rows else 0
        spent = self._rows[-1]["rollouts"] if self._rows else 0
        reasons = {failure[0]: str(failure[3]) for failure in record.get("failures", ())}
        for i, values in enumerate(returns):
            spent += len(values)
            if i in unmeasured:
                continue
            mean = float(np.mean(values))
            place = {"generation": number, "candidate": i, "rollouts": spent, "value": self._sign * mean}
            self._rows.append(place | {"failure": reasons.get(i, "")} | named[i])
            if i in reasons:
                where = {"generation": number, "candidate": i}
                self._failures.append(where | {"reason": reasons[i], "parameters": named[i]})

    def _named(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """The parameters of a generation's candidates by name; nothing from where the search is not repeated."""
        proposal = None if self._search is None else self._search.proposal
        if self._search is None or proposal is None or digest(proposal) != record["proposal"]:
            self._search = None
            return [{} for _ in record["returns"]]
        space = self._space
        self._search.send(recall(proposal, record))
        return [{name: plain(value) for name, value in space.named(x).items()} for x in proposal.params]

    def _typed(self) -> None:
        """The tries of a person, each of which is a candidate."""
        held = tries.Answers(self._events).held.values()
        self._rows = [
            {
                "generation": i,
                "candidate": 0,
                "rollouts": i + 1,
                "value": answer.value,
                "failure": answer.reason,
            }
            | dict(answer.values)
            for i, answer in enumerate(answer for answer in held if answer.status != "skipped")
        ]

    def parts(self) -> Parts:
        """What is shown: the head, the candidates, and what failed."""
        if not self._request:
            return {"head": {"kind": "tune"}}
        best = self._best()
        names = [parameter["name"] for parameter in self._request["space"]]
        shown = self._shown(best)
        columns = ("rollouts", "value", *names)
        return {
            "head": {
                "kind": "tune",
                "goal": self._request["goal"],
                "method": self._request["optimizer"]["method"],
                "function": str(self._request.get("function", "")),
                "rollouts": self._rows[-1]["rollouts"] if self._rows else 0,
                "candidates": len(self._rows),
                "after": self._after,
                "best": self._facts(best[-1]) if best else None,
                **described(self._sessions),
            },
            "candidates": {
                "names": names,
                "columns": {
                    name: [plain(self._rows[i].get(name)) for i in shown] for name in columns
                },
                "best": [
                    [self._rows[i]["rollouts"] for i in best],
                    numbers(self._rows[i]["value"] for i in best),
                ],
                "left_out": len(self._rows) - len(shown),
            },
            "failures": self._failures[-MAX_FAILURES:],
        }  # fmt: skip

    def _best(self) -> list[int]:
        """The candidates that were the best when they were measured."""
        found, highest = list[int](), -np.inf
        for i, row in enumerate(self._rows):
            if np.isfinite(row["value"]) and self._sign * row["value"] > highest and not row["failure"]:
                highest = self._sign * row["value"]
                found.append(i)
        return found

    def _shown(self, best: list[int]) -> list[int]:
        """Which candidates a page is sent."""
        count = len(self._rows)
        if count <= MAX_SHOWN:
            return [*range(count)]
        every = -(-2 * count // MAX_SHOWN)
        return sorted(
            {*best[-MAX_SHOWN // 4 :], *range(0, count, every), *range(count - MAX_SHOWN // 4, count)}
        )

    def _facts(self, i: int) -> dict[str, Any]:
        row = self._rows[i]
        return {name: plain(value) for name, value in row.items() if name != "failure"}

    def table(self, name: str) -> list[dict[str, Any]]:
        """A row per candidate."""
        if name != "candidates":
            raise KeyError(name)
        return self._rows

    def detail(self, key: tuple[str, ...]) -> dict[str, Any]:
        """There are no runs."""
        raise KeyError(key)
