"""The ledger of a tuning: the request, every evaluation, and a person's answers.

    request     what decides the search, once
    runs        digests of what is run (`policysearch.digests`); again when they have changed
    kept        what had changed, and why the results were kept
    retry       from here on, failed rollouts and all that followed them are not known
    known       earlier tries, from which the search begins
    check       the rollouts before the search
    generation  an evaluation of the search
    after       an evaluation after it
    session     the versions of a plug-in
    answer, …   of a person (`policysearch.tune.tries`)

Evaluations of the search are identified by their order and compared with the proposals (`Recorded`), so that the same
request continues, also with more rollouts. Evaluations after the search are identified by key, proposal and plant:
those of another recommendation are run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policysearch.core import Evaluation, Evaluator, Proposal
from policysearch.digests import Digests
from policysearch.digests.agreement import agreed, remarks, scales_name
from policysearch.errors import WRONG_REQUEST
from policysearch.evaluators.functions import NOT_RUN
from policysearch.evaluators.recorded import Record, Recorded, digest, recall, record
from policysearch.ledger import Ledger, LedgerError, set_aside
from policysearch.optimizers import OPTIMIZERS
from policysearch.plain_data import decode, encode
from policysearch.provenance import changes
from policysearch.reuse import Reuse
from policysearch.seeding import Key
from policysearch.tune.bodies import body_of
from policysearch.tune.options import Say

NAME = "tune.sqlite"
#: What a request has only where it is asked for.
LATER = ("outputs", "scenarios", "objective")
Event = tuple[str, Any]  # kind and body


@dataclass(frozen=True)
class Journal:
    """The events of a tuning so far, and how further ones are written.

    Attributes:
        events: as they were when the folder was opened, without those that `retry` has made unknown.
        write: makes an event durable.
        remarks: what readers of the results have to know of the folder.
        runs: the digests of what is run, as they were when the folder was opened.
    """

    events: list[Event]
    write: Callable[[str, Any], None]
    remarks: tuple[str, ...] = ()
    runs: Digests = Digests()

    def of(self, *kinds: str) -> list[Event]:
        """The events of some kinds, in order."""
        return [(kind, body) for kind, body in self.events if kind in kinds]

    @property
    def rollouts(self) -> int:
        """How many are recorded."""
        return sum(len(row) for record in _records(self.events) for row in record["returns"])

    def recorded(self, evaluator: Evaluator, clock: Callable[[], float] | None = None) -> Recorded:
        """`evaluator` for a search, whose recorded generations are not run again; with a clock, time is recorded."""
        known = [body for _, body in self.of("generation")]
        return Recorded(evaluator, known, lambda body: self.write("generation", body), clock)

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
def opened(
    out: str | Path | None,
    request: Mapping[str, Any],
    say: Say,
    reuse: Reuse = Reuse(),
    runs: Digests = Digests(),
) -> Iterator[Journal]:
    """The journal of a request; without a folder it keeps nothing.

    A ledger that was there and is set aside is named by `say`.

    Raises:
        OtherRequest: if the folder holds another one.
        OtherRun: if it holds results of something else than `runs`.
        LedgerError: if it cannot be written.
    """
    if out is None:
        yield Journal([], lambda kind, body: None, runs=runs)
        return
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if reuse.fresh and (kept := set_aside(folder / NAME)):
        say(f"the ledger that was there is kept as {kept}")
    with Ledger(folder / NAME) as ledger:

        def write(kind: str, body: Any) -> None:
            ledger.append(kind, (), body)
            ledger.commit()

        wanted = decode(encode(request))
        events = [(event.kind, body_of(ledger.path, event)) for event in ledger.events]
        if events:
            _check(ledger.path, events[0][1], wanted)
        for kind, body in _first_events(ledger.path, events, wanted, reuse, runs):
            write(kind, body)
            events.append((kind, body))
        if versions := OPTIMIZERS.versions(request["optimizer"]["method"]):
            write("session", versions)
        yield Journal(in_force(events), write, _remarks(events), runs)


def _first_events(
    path: Path, events: Sequence[Event], wanted: Mapping[str, Any], reuse: Reuse, runs: Digests
) -> Iterator[Event]:
    """What is written when a folder is opened.

    Raises:
        OtherRun: if what is run has changed, and nothing says what is to be done.
    """
    if not events:
        yield "request", wanted
    events = in_force(events)
    if reuse.retry_failed and len(_without_failures(events)) < len(events):
        yield "retry", {}
        events = _without_failures(events)
    known = [body for kind, body in events if kind == "runs"]
    records = list(_records(events))
    failed = bool(records) and all(map(_has_failed, records))
    results = [wanted["optimizer"]["method"], scales_name()] if records else []
    yield from agreed(path, known, runs, reuse, results=results, failed=failed)


def in_force(events: Sequence[Event]) -> list[Event]:
    """The events without the failures before a `retry`, and without the generations that followed them."""
    kept: list[Event] = []
    for kind, body in events:
        kept.append((kind, body))
        if kind == "retry":
            kept = _without_failures(kept)
    return kept


def _without_failures(events: Sequence[Event]) -> list[Event]:
    failed = [i for i, (kind, body) in enumerate(events) if kind == "generation" and _has_failed(body)]
    first = failed[0] if failed else len(events)
    return [
        (kind, body)
        for i, (kind, body) in enumerate(events)
        if not (kind == "generation" and i >= first)
        and not (kind == "after" and _has_failed(body["record"]))
        and not (kind == "check" and body.get("failure"))
    ]


def _has_failed(record: Record) -> bool:
    """Whether rollouts were run and failed; those that a constraint forbids would not be run again either."""
    return any(not str(failure[3]).startswith(NOT_RUN) for failure in record.get("failures", ()))


def _records(events: Sequence[Event]) -> Iterator[Record]:
    return (body.get("record", body) for kind, body in events if kind in ("generation", "after"))


def _remarks(events: Sequence[Event]) -> tuple[str, ...]:
    """What readers of the results have to know: changes that were made on the way."""
    kinds = [kind for kind, _ in events]
    older = "generation" in kinds and kinds.index("runs") > kinds.index("generation")
    return remarks([body for kind, body in events if kind == "kept"], unknown=older)


def _check(path: Path, held: Any, wanted: Mapping[str, Any]) -> None:
    """Refuse a folder that holds another request."""
    held = held if isinstance(held, dict) else {}
    names = {**wanted, **{name: None for name in LATER if name in held}}
    if changed := changes((name, held.get(name), wanted.get(name)) for name in names):
        raise OtherRequest(
            f"{path}: holds another request: {'; '.join(changed)}; choose another folder with --out, or --fresh to "
            "start over (the old results stay next to the new ones)"
        )
