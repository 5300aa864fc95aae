"""A session with a person that is watched: its bouts, its laws, and what it has found; only what is not blind."""

from pathlib import Path
from typing import Any

from policysearch.hitl import LOG
from policysearch.hitl.history import actions, versions
from policysearch.hitl.log import Log, parsed, refusing
from policysearch.hitl.report import findings, law_words, plan_words
from policysearch.hitl.view import SessionView, cells
from policysearch.ledger import Event
from policysearch.watch.follow import Parts
from policysearch.watch.plain import plain

#: Of the operator's actions, those that a page shows.
MAX_ACTIONS = 30


class WatchedSession:
    """What is known of a session; a `policysearch.watch.follow.View`.

    Args:
        folder: of the session.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG
        self._events: list[Event] = []
        self._made: Parts | None = None
        self._view: SessionView | None = None

    def take(self, event: Event) -> None:
        """Take in the next event."""
        self._events.append(event)
        self._made = None

    def parts(self) -> Parts:
        """What is shown: the head, and the bouts."""
        if self._made is None:
            self._made = self._parts()
        return self._made

    def _parts(self) -> Parts:
        if not self._events:
            return {"head": {"kind": "session"}}
        plan, events = parsed(self._path, self._events)
        with refusing(self._path):
            session = self._view = SessionView(plan, Log(None, events))
        bout, table = session.next, cells(session)
        shown = [
            entry for entry in session.entries if not (session.is_blind and entry.purpose == "validation")
        ]
        return {
            "head": {
                "kind": "session",
                "participant": session.participant,
                "over": bout is None,
                "next": "" if bout is None else bout.label,
                "plan": plan_words(session),
                "law": law_words(session),
                "findings": findings(session),
                "versions": versions(session),
                "commands": [],
            },
            "bouts": {
                "columns": list(table),
                "rows": table.to_numpy().tolist(),
                "objective": "metabolic rate (W/kg)" if plan.objective == "metabolic" else plan.objective,
                "numbers": [entry.number for entry in shown],
                "rates": [plain(entry.rate) for entry in shown],
                "errors": [plain(entry.standard_error) for entry in shown],
                "counts": [entry.counts for entry in shown],
            },
            "actions": actions(session)[-MAX_ACTIONS:],
        }

    def table(self, name: str) -> list[dict[str, Any]]:
        """A row per bout, as `bouts.csv` has them."""
        if name != "bouts" or self._view is None:
            raise KeyError(name)
        return self._view.table().to_dict("records")  # type: ignore[return-value]

    def detail(self, key: tuple[str, ...]) -> dict[str, Any]:
        """There are no runs."""
        raise KeyError(key)
