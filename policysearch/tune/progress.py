"""What is said while a tuning searches: a line per generation, and what a method that chooses has chosen."""

import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation
from policysearch.evaluators.functions import sign_of
from policysearch.search import Generation
from policysearch.tune.options import Say, TuneSettings

#: Between lines of progress on generations of a single candidate: so many rollouts, or seconds (choice).
ROLLOUTS_BETWEEN_LINES, SECONDS_BETWEEN_LINES = 10, 10.0


class Progress:
    """A line per generation: rollouts, what it found, how long it may take.

    Of generations of a single candidate, only that which comes some rollouts or seconds after the line before.

    Args:
        name: of the method.
        say: is given the lines.
        settings: those of the tuning.
        values: what each candidate is worth, NaN for those that count for nothing.
        rules: is given those by which the method has chosen, with the rollouts after which they were first applied.
    """

    def __init__(
        self,
        name: str,
        say: Say,
        settings: TuneSettings,
        values: Callable[[Evaluation], Float[Array, "n"]],
        rules: list[str],
    ) -> None:
        self._name, self._say, self._values, self._rules = name, say, values, rules
        self._sign, self._total = sign_of(settings.goal), settings.rollouts
        self._began, self._best, self._rule = time.monotonic(), np.nan, ""
        self._said = (0, self._began)  # rollouts and time of the last line

    def show(self, made: Generation) -> None:
        """Say the line of a generation, if it is due, and its rule, if that is another than before."""
        sign, means = self._sign, self._values(made.evaluation)
        found = means[np.isfinite(means)]
        self._best = float(np.nanmax([self._best, *found])) if found.size else self._best
        if made.proposal.rule not in ("", self._rule):
            self._rule = made.proposal.rule
            self._rules.append(
                f"{self._name}, after {made.rollouts - made.proposal.cost} rollouts: {self._rule}"
            )
            self._say(self._rules[-1])
        if not self._due(made):
            return
        said = f"best candidate {sign * found.max():.4g}" if found.size else "all of it failed"
        so_far = f", of all {sign * self._best:.4g}" if np.isfinite(self._best) else ""
        left = (time.monotonic() - self._began) * (self._total - made.rollouts) / made.rollouts
        more = f", about {left:.0f} s left" if left >= 2.0 else ""
        self._say(
            f"generation {made.index + 1}: {made.rollouts} of {self._total} rollouts, {said}{so_far}{more}"
        )

    def _due(self, made: Generation) -> bool:
        """Whether a line is due; it counts as said then."""
        (rollouts, when), now = self._said, time.monotonic()
        ends = made.index == 0 or not 0 < made.ahead <= self._total - made.rollouts
        late = made.rollouts - rollouts >= ROLLOUTS_BETWEEN_LINES or now - when >= SECONDS_BETWEEN_LINES
        if due := len(made.proposal.params) > 1 or ends or late:
            self._said = made.rollouts, now
        return due
