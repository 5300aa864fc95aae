"""The simulated person of a session, who is rebuilt from its history when the session is continued."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from policysearch.exoskeleton.human import Walker, draw_participant
from policysearch.exoskeleton.respirometry import Breaths
from policysearch.hitl.agenda import Bout
from policysearch.hitl.log import Entry
from policysearch.hitl.session import Session
from policysearch.seeding import Key, stream


class SimulatedPerson:
    """A person of `policysearch.exoskeleton.human` who walks one bout after the other.

    Args:
        preset: the kind of people from which the person is drawn.
        key: of the random streams of the person and of every bout.
        history: what the person has walked already.
        changes: parameters of the person to replace, as in {"tau": 60.0}.
    """

    def __init__(
        self,
        preset: str,
        key: Key,
        history: Iterable[Entry] = (),
        changes: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._key, self._count = key, 0
        self.person = draw_participant(stream(*key, "person"), preset)._replace(**changes)
        self.walker = Walker.start(self.person, stream(*key, "start"))
        for entry in history:
            self.walk(entry)

    def walk(self, bout: Bout | Entry) -> Breaths | None:
        """The breaths of a bout; None of a rest."""
        rng = stream(*self._key, "bout", self._count)
        self._count += 1
        if bout.purpose == "rest":
            self.walker.rest(60.0 * bout.minutes, rng)
            return None
        return self.walker.walk(bout.law, 60.0 * bout.minutes, rng)


def walk_next(session: Session, person: SimulatedPerson) -> None:
    """Let the person walk the next bout, and log what was measured."""
    bout = session.next
    if bout is None:
        raise RuntimeError("the session is over")
    if session.entering:
        session.confirm()
    breaths = person.walk(bout)
    if breaths is None or not bout.is_measured:
        session.walked(of=bout)
    else:
        session.measured(*session.estimate(breaths, bout.minutes, bout.purpose), breaths, of=bout)


def walk_to_the_end(session: Session, person: SimulatedPerson) -> Iterator[tuple[Bout, Entry]]:
    """Let the person walk bout after bout; every bout once it is in the log."""
    while (bout := session.next) is not None:
        walk_next(session, person)
        yield bout, session.entries[-1]
