"""Earlier tries that a tuning begins with: what they are, and what becomes of them in its ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policysearch.core import Domain, Evaluation, Optimizer, needs_of
from policysearch.evaluators.functions import sign_of
from policysearch.plain_data import encode
from policysearch.space import Space
from policysearch.tune.records import Measurement, best_of, completed


@dataclass(frozen=True)
class KnownTries:
    """Tries from before a search, which are no part of its budget.

    Attributes:
        source: where they come from, in words.
        tries: those that the tuning could have made itself, in order.
        left_out: how many others there were.
    """

    source: str
    tries: tuple[Measurement, ...] = ()
    left_out: int = 0

    @classmethod
    def of(
        cls, source: str, rows: Sequence[tuple[Mapping[str, Any], float]], space: Space, left_out: int = 0
    ) -> "KnownTries":
        """From values of all parameters by name, and the return of each, NaN where it failed."""
        tries = [
            Measurement(-1, i, 0, "known", values, space.of_names(values), ret, 0)
            for i, (values, ret) in enumerate(rows)
        ]
        return cls(source, tuple(tries), left_out)

    def document(self) -> dict[str, Any]:
        """As an event of the ledger."""
        rows = [[dict(known.values), known.ret] for known in self.tries]
        return {"source": self.source, "tries": rows, "left_out": self.left_out}

    @property
    def text(self) -> str:
        """The tries, to the last bit."""
        return encode(self.document()["tries"])

    @classmethod
    def from_document(cls, body: Mapping[str, Any], space: Space) -> "KnownTries":
        """The inverse of `document`, after a check (`policysearch.tune.bodies`)."""
        return cls.of(body["source"], body["tries"], space, body["left_out"])

    def domain(self, space: Space, goal: str) -> Domain:
        """The domain of a search that knows them: it starts at the best, or at a single one without a return."""
        start, lower, upper = (getattr(space.domain, name) for name in ("start", "lower", "upper"))
        if not self.tries:
            return space.domain
        if len(self.tries) == 1 and not np.isfinite(self.tries[0].ret):
            return Domain(self.tries[0].coordinates, lower, upper)
        params = np.array([known.coordinates for known in self.tries])
        returns = sign_of(goal) * np.array([[known.ret] for known in self.tries])
        if sound := completed(self.tries):
            start = best_of(sound, goal).coordinates
        known = Evaluation(params, returns, np.zeros(returns.shape, dtype=int))
        return Domain(start, lower, upper, known=known)

    def remarks(self, method: Optimizer, name: str, goal: str) -> tuple[str, ...]:
        """What a report says of them."""
        if not self.tries:
            return ()
        sound, n = completed(self.tries), len(self.tries)
        told = f"{name} learns from them, and" if needs_of(method).uses_known and sound else "the search"
        best = f"the best, {best_of(sound, goal).ret:.5g}" if sound else "the start, since all have failed"
        best = "it" if n == 1 else best
        others = f"; {self.left_out} others are outside this tuning's bounds, fixed values or constraints"
        said = f"{n} earlier {'tries' if n > 1 else 'try'} known from {self.source}, not charged"
        return (f"{said}: {told} begins at {best}{others if self.left_out else ''}",)


#: What is known where nothing was tried before.
NOTHING = KnownTries("nothing")
