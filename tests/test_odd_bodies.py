"""Events whose checksums are valid and whose bodies are odd are refused with their number, never with a traceback."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.compare.bodies import body_of, record_of
from policysearch.compare.journal import NAME, StudyJournal
from policysearch.compare.run import Job, Result
from policysearch.compare.study import Study
from policysearch.core import Evaluation, Proposal
from policysearch.evaluators.recorded import Recorded, ReplayDiffers, record
from policysearch.evaluators.repeatable import Check
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.ledger import Event, Ledger, LedgerError, LedgerRefused
from policysearch.plain_data import encode
from policysearch.tune.bodies import body_of as body_of_tuning
from policysearch.tune.journal import NAME as TUNING
from policysearch.tune.journal import opened
from policysearch.tune.tries import Answers

DEEP = "[" * 100_000 + "]" * 100_000
RECORD: dict[str, Any] = {"proposal": "p", "purpose": "search", "returns": [[1.0, 2.0]], "steps": [[3, 4]]}
RESULT: dict[str, Any] = {"job": ["lqr", "ars", 0], "row": {}, "curve": [], "params": [], "param_names": [],
                          "spent": [], "remarks": [], "examples": []}  # fmt: skip
#: Bodies that no kind of event has.
ODD = ("null", "5", "[]", '"text"', '{"float":"nan"}', '{"a":{"a":1}}', DEEP)
RECORDS = [
    *ODD, "{}",
    encode(RECORD | {"returns": [[1.0], [2.0, 3.0]], "steps": [[1], [2, 3]]}),
    *(
        encode(RECORD | {name: value})
        for name, values in {
            "returns": (None, [], [1.0], [[1.0], [2.0, 3.0]], [["x"]], {"a": 1}, [[[1.0]]]),
            "steps": ([[3]], [["a", "b"]], [[3.5, 4.0]], [[True, False]]),
            "failures": (5, [[]], [[0, 0]], ["text"], [[0, 0, 1, "why", "trace", "more"]]),
            "metrics": ([], {"m": 5}, {"m": [[1.0]]}), "moments": ("x", [[[1.0]]]), "unmeasured": ("x", ["a"]),
            "clipped_steps": ("x", [1]), "proposal": (5, None, [1]), "more": (1,),
        }.items()
        for value in values
    ),
]  # fmt: skip
RESULTS = [*ODD, "{}", encode(RESULT), *(
    encode(RESULT | {name: value})
    for name in RESULT
    for value in (None, 5, "text", [[[]]], {"a": {"a": 1}}, [{"a": [1]}])
)]  # fmt: skip
RUN = ("final", "lqr", "ars", 0)
KEYS = (("final",), (), ("final", "lqr", "ars", "x", "more"))
CASES = [
    *(("generation", RUN, text) for text in RECORDS),
    *(("run", RUN, text) for text in RESULTS),
    *(
        ("study", (), text)
        for text in (*ODD, "{}", '{"tasks":5,"optimizers":{}}', '{"tasks":{"a":5},"optimizers":[]}')
    ),
    *((kind, (), text) for kind in ("session", "runs", "retry") for text in ("null", "5", "[]", DEEP)),
    *(
        ("kept", (), text)
        for text in (*ODD, "{}", '{"changed":5,"reason":"r"}', '{"changed":[],"reason":[]}')
    ),
    *(("check", ("lqr",), text) for text in (*ODD[:5], '{"rollouts":"x"}', '{"failure":5}', '{"odd":1}')),
    ("check", (), "{}"),
    ("odd", (), "{}"),
    *(("generation", key, encode(RECORD)) for key in KEYS),
]


def of_events(path: Path, *events: tuple[str, tuple[Any, ...], str]) -> Path:
    with Ledger(path) as ledger:
        for kind, key, text in events:
            ledger.append_text(kind, key, text)
    return path


def event_of(kind: str, key: tuple[Any, ...], text: str) -> Event:
    return Event(2, kind, key, text)


def body_in_a_study(event: Event) -> None:
    """What is read of an event of a study, as `StudyJournal` reads it."""
    if event.kind == "generation":
        record_of(event)
    elif event.kind == "run":
        Result.from_document(body_of(event))
    elif event.kind == "check":
        Check.of(body_of(event))
    else:
        body_of(event)


@pytest.mark.parametrize("kind", sorted({case[0] for case in CASES}))
def test_odd_bodies_of_a_study_are_refused(kind: str) -> None:
    for text in (case[2] for case in CASES if case[:2] in ((kind, RUN), (kind, ()), (kind, ("lqr",)))):
        if text not in ("{}", encode(RECORD)):  # with which a key is wrong
            expected = (TypeError, ValueError, LookupError, AttributeError)  # which the journal catches
            with pytest.raises(LedgerRefused if kind == "generation" else expected):
                body_in_a_study(event_of(kind, (), text))
                raise AssertionError((kind, text[:60]))


@pytest.mark.nightly
def test_odd_events_of_a_study_are_refused_with_their_number(tmp_path: Path) -> None:
    study = Study(tasks={"lqr": {}}, optimizers={"ars": {}})
    document = encode(study.document())
    for i, (kind, key, text) in enumerate(CASES):
        folder = tmp_path / str(i)
        folder.mkdir()
        of_events(folder / NAME, ("study", (), document), (kind, key, text))
        with (
            pytest.raises(LedgerRefused, match="event 2 is n") as refused,
            StudyJournal(folder, study) as journal,
        ):
            assert journal.past[RUN[0], Job(*RUN[1:])].records is None, (kind, text[:60])
        assert len(str(refused.value)) < 1000


TUNING_CASES = [
    *(("generation", text) for text in RECORDS),
    *(
        ("after", text)
        for text in (*ODD, "{}", encode({"question": "q", "record": 5}), encode({"record": RECORD}))
    ),
    *(("check", text) for text in (*ODD[:5], '{"rollouts":"x"}', '{"failure":5}')),
    *(("known", text) for text in (*ODD[:5], '{"source":"x","left_out":0,"tries":[[1,2]]}', '{"tries":[]}')),
    *((kind, text) for kind in ("runs", "kept", "retry", "session") for text in ("null", "5", "[]", DEEP)),
    *(
        (kind, text)
        for kind in ("answer", "failed", "skip", "amend")
        for text in (*ODD, "{}", '{"question":5}', '{"question":"q","values":[],"reason":5}')
    ),
    ("answer", '{"question":"q","values":{},"reason":"","numbers":{"return":"x"}}'),
    ("answer", '{"question":"q","values":[],"reason":""}'),
    ("note", "{}"),
]


@pytest.mark.parametrize("kind", sorted({case[0] for case in TUNING_CASES}))
def test_odd_bodies_of_a_tuning_are_refused_with_their_number(kind: str) -> None:
    for text in (case[1] for case in TUNING_CASES if case[0] == kind):
        with pytest.raises(LedgerRefused, match="event 2 is not one of a tuning") as refused:
            body_of_tuning(Path("tune.sqlite"), event_of(kind, (), text))
            raise AssertionError((kind, text[:60]))
        assert len(str(refused.value)) < 1000


@pytest.mark.nightly
def test_odd_events_of_a_tuning_are_refused_with_their_number(tmp_path: Path) -> None:
    for i, (kind, text) in enumerate(TUNING_CASES):
        folder = tmp_path / str(i)
        folder.mkdir()
        of_events(folder / TUNING, ("request", (), '{"optimizer":{"method":"ars"}}'), (kind, (), text))
        expected = pytest.raises(LedgerRefused, match="event 2 is not one of a tuning")
        with expected, opened(folder, {"optimizer": {"method": "ars"}}, print):
            raise AssertionError((kind, text[:60]))


def test_an_amendment_of_nothing_is_refused() -> None:
    with pytest.raises(LedgerRefused, match="amend is of q, which has no answer"):
        Answers([("amend", {"question": "q", "reason": "", "numbers": {"return": 1.0}})])


def test_a_record_of_another_shape_is_not_taken_for_the_one_that_is_asked() -> None:
    proposal = Proposal(np.zeros((2, 3)), np.zeros(3), 1)
    kept = record(proposal, Evaluation(proposal.params, np.zeros((2, 1)), np.ones((2, 1), dtype=int)))
    kept |= {"returns": [[0.0]], "steps": [[1]]}
    with pytest.raises(ReplayDiffers, match="another number of returns"):
        Recorded(None, [kept], print).evaluate(proposal, ("key",))  # type: ignore[arg-type]


@pytest.mark.nightly
def test_odd_events_of_a_session_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.sqlite"
    with Session.begin(SessionPlan(), path):
        pass
    whole = path.read_bytes()
    for kind in ("plan", "bout", "void", "asked", "note", "amend", "undo", "session", "limit", "odd"):
        for text in (*ODD, "{}"):
            path.write_bytes(whole)
            of_events(path, (kind, (), text))
            try:
                Session.resume(path).close()
            except (LedgerError, ReplayDiffers) as error:
                assert len(str(error)) < 1000
