"""The simulated person of a session, who is rebuilt from its history when the session is continued."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
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
        read_as: the ankle's law and the fidelity as which laws of other parameters are taken.
    """

    def __init__(
        self,
        preset: str,
        key: Key,
        history: Iterable[Entry] = (),
        changes: Mapping[str, float] = MappingProxyType({}),
        read_as: Callable[[Array, Walker], tuple[Array, float]] | None = None,
    ) -> None:
        self._key, self._count, self._read_as = key, 0, read_as
        self.person = draw_participant(stream(*key, "person"), preset)._replace(**changes)
        self.walker = Walker.start(self.person, stream(*key, "start"))
        for entry in history:
            with suppress(ValueError):  # a bout that was broken off has too few breaths
                self.walk(entry)

    def walk(self, bout: Bout | Entry) -> Breaths | None:
        """The breaths of a bout; None of a rest."""
        rng = stream(*self._key, "bout", self._count)
        self._count += 1
        if bout.purpose in ("rest", "standing"):
            self.walker.rest(60.0 * bout.minutes, rng)
            return self._standing(bout.minutes, rng) if bout.purpose == "standing" else None
        law, shape = self._taken(bout.law)
        return self.walker.walk(law, 60.0 * bout.minutes, rng, shape)

    def reduction(self, law: Float[Array, "d"]) -> float:
        """The true reduction under a law now, as a part of the net rate without torque."""
        taken, shape = self._taken(law)
        return self.walker.true_reduction(taken, shape=shape)

    def _taken(self, law: Float[Array, "d"]) -> tuple[Float[Array, "4"], float]:
        return (law, 1.0) if self._read_as is None else self._read_as(law, self.walker)

    def _standing(self, minutes: float, rng: np.random.Generator) -> Breaths:
        """Breaths of standing still, as noisy as those of walking."""
        time = np.arange(self.person.breath_period, 60.0 * minutes, self.person.breath_period)
        noise = np.clip(self.person.breath_sd * rng.standard_normal(len(time)), -0.5, 0.5)
        return Breaths(time, self.person.standing_rate * (1.0 + noise))


def walk_next(session: Session, person: SimulatedPerson) -> Bout:
    """Let the person walk the next bout, and log what was measured; the bout.

    A gap makes a bout that is averaged void, as an operator would: it comes again.
    """
    if session.day_is_over:
        session.another_day()
    bout = session.next
    if bout is None:
        raise RuntimeError("the session is over")
    if session.entering:
        session.confirm()
    breaths = person.walk(bout)
    if breaths is None or not bout.is_measured:
        session.walked(of=bout)
    elif session.loses(breaths, bout.purpose):
        session.void(f"no breath for {breaths.gaps.max():.0f} s", breaths=breaths)
    else:
        session.measured(*session.estimate(breaths, bout.minutes, bout.purpose), breaths, of=bout)
    return bout


def walk_to_the_end(session: Session, person: SimulatedPerson) -> Iterator[tuple[Bout, Entry]]:
    """Let the person walk bout after bout; every bout once it is in the log."""
    while session.next is not None:
        yield walk_next(session, person), session.entries[-1]
