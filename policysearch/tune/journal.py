"""The ledger of a tuning: the request, every evaluation, a person's answers, and the versions of a plug-in.

Evaluations of the search are identified by their order and compared with the proposals (`Recorded`), so that the same
request continues, also with more rollouts. Evaluations after the search are identified by key, proposal and plant:
those of another recommendation are run.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policysearch.core import Evaluation, Evaluator, Proposal
from policysearch.errors import WRONG_REQUEST
from policysearch.evaluators.recorded import Record, Recorded, digest, recall, record
from policysearch.ledger import Ledger, LedgerError
from policysearch.optimizers import OPTIMIZERS
from policysearch.plain_data import decode, encode
from policysearch.provenance import changes
from policysearch.seeding import Key

NAME = "tune.sqlite"


@dataclass(frozen=True)
class Journal:
    """The events of a tuning so far, and how further ones are written."""

    events: list[tuple[str, Any]]  # kinds and bodies, as they were when the folder was opened
    write: Callable[[str, Any], None]  # makes an event durable

    def of(self, *kinds: str) -> list[tuple[str, Any]]:
        """The events of some kinds, in order."""
        return [(kind, body) for kind, body in self.events if kind in kinds]

    @property
    def rollouts(self) -> int:
        """How many are recorded."""
        records = [body.get("record", body) for _, body in self.of("generation", "after")]
        return sum(len(row) for record in records for row in record["returns"])

    def recorded(self, evaluator: Evaluator) -> Recorded:
        """`evaluator` for a search, whose recorded generations are not run again."""
        known = [body for _, body in self.of("generation")]
        return Recorded(evaluator, known, lambda body: self.write("generation", body))

    def memoised(self, evaluator: Evaluator, plant: str = "") -> "Memoised":
        """`evaluator` for the evaluations after a search, on the plant or a changed one."""
        known = {body["question"]: body["record"] for _, body in self.of("after")}
        return Memoised(evaluator, plant, known, lambda body: self.write("after", body))


@dataclass(frozen=True)
class Memoised:
    """`inner`, whose evaluations are written down and known by their key, proposal and plant."""

    inner: Evaluator
    plant: str
    known: Mapping[str, Record]
    write: Callable[[dict[str, Any]], None]

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The recorded evaluation if the same was asked before, else one that is run now and written down."""
        question = f"{'/'.join(map(str, key))}/{digest(proposal)}/{self.plant}"
        if question in self.known:
            return recall(proposal, self.known[question])
        evaluation = self.inner.evaluate(proposal, key)
        self.write({"question": question, "record": record(proposal, evaluation)})
        return evaluation


class OtherRequest(LedgerError):  # noqa: N818 - it states what was found
    """A folder holds another request."""

    exit_code = WRONG_REQUEST


@contextmanager
def opened(out: str | Path | None, request: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of a request; without a folder it keeps nothing.

    Raises:
        OtherRequest: if the folder holds another one.
        LedgerError: if it cannot be written.
    """
    if out is None:
        yield Journal([], lambda kind, body: None)
        return
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with Ledger(folder / NAME) as ledger:

        def write(kind: str, body: Any) -> None:
            ledger.append(kind, (), body)
            ledger.commit()

        wanted = decode(encode(request))
        if not ledger.events:
            write("request", wanted)
        else:
            _check(ledger.path, ledger.events[0].body, wanted)
        if versions := OPTIMIZERS.versions(request["optimizer"]["method"]):
            write("session", versions)
        yield Journal([(event.kind, event.body) for event in ledger.events], write)


def _check(path: Path, held: Any, wanted: Mapping[str, Any]) -> None:
    """Refuse a folder that holds another request."""
    held = held if isinstance(held, dict) else {}
    if changed := changes((name, held.get(name), wanted[name]) for name in wanted):
        raise OtherRequest(f"{path}: holds another request: {'; '.join(changed)}; choose another folder")
