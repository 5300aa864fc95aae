"""The phases of a tuning: the search, then the evaluation of its recommendation and the start on held-out seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.asking.prompt import Finished, Stopped
from policysearch.core import Array, Domain, Evaluation, Evaluator, Optimizer, Proposal
from policysearch.evaluators.functions import NOT_RUN, sign_of
from policysearch.limits import Watch
from policysearch.optimizers.constrained import Outputs, broken_in_words
from policysearch.reporting.log import CsvLog
from policysearch.search import Budget, Generation, SearchFailed, generations, held_out
from policysearch.space import Space
from policysearch.tune.held_out import HeldOut, paired
from policysearch.tune.known import NOTHING, KnownTries
from policysearch.tune.options import Say, TuneSettings
from policysearch.tune.progress import Progress
from policysearch.tune.records import Measurement, best_of, completed
from policysearch.tune.result import TuneResult
from policysearch.tune.scenarios import Scenarios
from policysearch.tune.sensitivity import Sensitivity, measure

#: A loss of at most this share of the improvement, and of the return itself, does not matter (choice).
WORTH = 0.05
#: What failed in a larger share of the report episodes is not recommended if anything else did not (choice).
MAX_FAILED = 0.5


@dataclass(frozen=True)
class Tuning:
    """A search and its report."""

    method: Optimizer
    name: str  # of the method
    space: Space
    settings: TuneSettings
    say: Say
    start_fails: bool = False  # whether both rollouts of the start, before the search, have failed
    kept: list[TuneResult] = field(default_factory=list)  # what there is so far, for who is interrupted
    rules: list[str] = field(default_factory=list)  # that the method has taken, if it chooses among others
    known: KnownTries = NOTHING
    log: CsvLog | None = None  # of the running search

    @property
    def domain(self) -> Domain:
        """That of the search, which knows the earlier tries."""
        return self.known.domain(self.space, self.settings.goal)

    @cached_property
    def scenarios(self) -> Scenarios:
        """The plants on which every candidate is run."""
        return Scenarios.of(self.settings.scenarios, self.settings.objective)

    @cached_property
    def outputs(self) -> Outputs:
        """The constraints on what else is measured."""
        return Outputs(tuple(self.settings.outputs), len(self.scenarios), self.settings.objective)

    def broken(self, evaluation: Evaluation) -> Float[Array, "n"]:
        """By how much each candidate breaks the constraints on outputs; infinite where it was not measured."""
        if not self.outputs.texts or not np.isfinite(evaluation.returns).any():
            return np.zeros(len(evaluation.returns))
        return np.nan_to_num(self.outputs.broken(evaluation.metrics, len(evaluation.returns)), nan=np.inf)

    def values(self, evaluation: Evaluation) -> Float[Array, "n"]:
        """What each candidate is worth over all scenarios; NaN where it breaks constraints on outputs."""
        values = self.scenarios.over(evaluation).returns.mean(axis=1)
        return np.where(self.broken(evaluation) > 0, np.nan, values) if self.outputs.texts else values

    def elsewhere(self, proposal: Proposal) -> bool:
        """Whether it has another candidate than the start."""
        return bool((proposal.params != self.domain.start).any())

    def run(
        self, search: Evaluator, report: Evaluator, episodes: int, watch: Watch, *, compare_best: bool = True
    ) -> TuneResult:
        """Search until `watch` ends it, then evaluate the recommendation and the start on held-out seeds.

        With `compare_best` so is the best candidate of the search. `_recommended` says which of them is recommended.
        """
        goal = self.settings.goal
        rollouts, recommendation, note = self._search(search, watch)
        ended: dict[str, Any] = {"note": note, "ended": watch.kind or _ended(note), "on": self.scenarios}
        if all_failed(rollouts):
            start = self.space.domain.start
            return TuneResult(self.space, goal, start, tuple(rollouts), HeldOut.none(goal), **ended)
        self.keep(self._unfinished(rollouts, recommendation, "the evaluation on held-out seeds"))
        rows = [recommendation, self.space.domain.start]
        candidates = [*completed(self.known.tries), *completed(rollouts, self.scenarios.worth(goal))]
        best = best_of(candidates, goal) if compare_best and candidates else None
        if best is not None and best.values != self.space.named(recommendation):
            rows.append(best.coordinates)
        self.say(f"evaluating the recommendation and the start on {episodes} held-out seeds")
        each = self._held_out(report, np.array(rows), episodes)
        evaluation, broken = self.scenarios.over(each), self.broken(each)
        chosen = _recommended(evaluation.returns, broken)
        luckier = len(rows) == 3 and chosen != 2
        result = TuneResult(
            self.space,
            goal,
            rows[chosen],
            tuple(rollouts),
            HeldOut.of(evaluation, goal, chosen),
            best_seen_held_out=HeldOut.of(evaluation, goal, 2, chosen) if luckier else None,
            metrics=self.settings.metrics,
            known=self.known.tries,
            remarks=self._remarks(),
            broken=float(broken[chosen]),
            outputs=_said(self.outputs, each, chosen, broken[chosen] > 0),
            scenarios=self.scenarios.table(sign_of(goal) * each.returns[[chosen, 1]]),
            target=self.settings.target,
            **ended,
        )
        self.keep(result)
        return result

    def keep(self, result: TuneResult) -> None:
        """What there is, if the next phase is interrupted."""
        self.kept[:] = [result]

    def _unfinished(
        self, rollouts: list[Measurement], recommendation: Float[Array, "d"], phase: str
    ) -> TuneResult:
        """The result of a search that was stopped in this phase."""
        return TuneResult(
            self.space,
            self.settings.goal,
            recommendation,
            tuple(rollouts),
            HeldOut.none(self.settings.goal),
            on=self.scenarios,
            metrics=self.settings.metrics,
            target=self.settings.target,
            ended="stopped",
            note=f"it was stopped in {phase}",
            known=self.known.tries,
            remarks=self._remarks(),
        )

    def _begun(self) -> tuple[str, ...]:
        """What is said of the earlier tries."""
        return self.known.remarks(self.method, self.name, self.settings.goal)

    def _remarks(self) -> tuple[str, ...]:
        """What is said of the earlier tries, and of what the method has chosen."""
        return (*self._begun(), *self.rules)

    def with_start(self, report: Evaluator, recommendation: Float[Array, "d"], episodes: int) -> HeldOut:
        """The recommendation and the start on the held-out seeds."""
        params = np.array([recommendation, self.space.domain.start])
        evaluation = self._held_out(report, params, episodes)
        return HeldOut.of(self.scenarios.over(evaluation), self.settings.goal)

    def around(self, report: Evaluator, result: TuneResult, rollouts: int, reach: float) -> Sensitivity:
        """The returns of values near the recommendation, no further from it than `reach`.

        Raises:
            ValueError: if the rollouts are too few.
        """
        sizes = [abs(x) for x in (result.improvement[0], result.held_out.means[0])]
        tolerance = WORTH * min(sizes) if np.isfinite(sizes).all() else 0.0
        self.say(f"evaluating values near the recommendation: {rollouts} rollouts")

        def evaluate(params: Float[Array, "n d"], episodes: int) -> Evaluation:
            return self.scenarios.over(self._held_out(report, params, episodes, use="sensitivity"))

        each = rollouts // len(self.scenarios)
        return measure(evaluate, self.space, result.recommendation, each, tolerance=tolerance, reach=reach)

    def _held_out(
        self, report: Evaluator, params: Float[Array, "n d"], episodes: int, use: str = "report"
    ) -> Evaluation:
        proposal = held_out(params, episodes * len(self.scenarios))
        return report.evaluate(proposal, (self.settings.seed, "tune", use))

    def _logged(self, made: Generation, sign: float) -> list[Measurement]:
        """The rollouts of a generation, which the log has too, if there is one."""
        rollouts = [*self._measured(made, sign)]
        if self.log is not None:
            self.log.append([rollout.row for rollout in rollouts], first=made.index == 0)
        return rollouts

    def _search(self, evaluator: Evaluator, watch: Watch) -> tuple[list[Measurement], Float[Array, "d"], str]:
        """All rollouts, the recommendation, and why the search ended early."""
        budget, sign, domain = self.settings.rollouts, sign_of(self.settings.goal), self.domain
        rollouts, recommendation, note = list[Measurement](), domain.start, ""
        search = generations(
            self.method,
            evaluator,
            domain,
            budget=Budget(budget),
            seed=self.settings.seed,
            problem=("tune",),
            label=self.name,
        )
        for line in self._begun():
            self.say(line)
        self.say(f"searching by {self.name} with {budget} rollouts")
        self.rules.clear()
        progress = Progress(self.name, self.say, self.settings, self.values, self.rules)
        spent = ahead = elsewhere = 0
        try:
            for made in watch.over(search):
                spent, ahead = made.rollouts, made.ahead
                elsewhere += self.elsewhere(made.proposal)
                rollouts += self._logged(made, sign)
                recommendation = made.recommendation
                progress.show(made)
                if self.start_fails and elsewhere > 1 and all_failed(rollouts):
                    note = "the start fails, and so did everything else that was tried"
                    break
        except (SearchFailed, Finished) as failed:
            note = str(failed)
        except (KeyboardInterrupt, EOFError, Stopped):
            if spent:
                phase = f"the search, after {spent} of {budget} rollouts"
                self.keep(self._unfinished(rollouts, recommendation, phase))
            raise
        note = note or watch.ended
        if not note and not ahead:
            note = f"{self.name} found nothing left to search after {spent} of {budget} rollouts"
        return rollouts, recommendation, note

    def _measured(self, made: Generation, sign: float) -> Iterator[Measurement]:
        """The rollouts of a generation, with their scenarios and what their candidates break."""
        broken = self.broken(made.evaluation)
        for x in Measurement.of(made.proposal, made.evaluation, self.space, made.index, sign):
            yield replace(x, broken=float(broken[x.candidate]), scenario=self.scenarios.at(x.episode))


def _said(outputs: Outputs, evaluation: Evaluation, chosen: int, broken: bool) -> tuple[str, ...]:
    """What is said of the constraints on outputs, of a candidate."""
    if not outputs.texts or not np.isfinite(evaluation.returns[chosen]).any():
        return ()
    own = {name: numbers[chosen : chosen + 1] for name, numbers in evaluation.metrics.items()}
    none = "no candidate met all constraints on outputs: this one breaks them least"
    return (*broken_in_words(outputs, own), *([none] if broken else []))


def _ended(note: str) -> str:
    """What has ended a search that came to no limit."""
    return "search" if note else "budget"


def all_failed(rollouts: Sequence[Measurement]) -> bool:
    """Whether every rollout has failed, and some of them were run."""
    reasons = [rollout.reason for rollout in rollouts]
    return all(reasons) and not all(reason.startswith(NOT_RUN) for reason in reasons)


def _recommended(returns: Float[Array, "n k"], broken: Float[Array, "n"]) -> int:
    """Which candidate is recommended: 0 that of the search, 1 the start, 2 the best one seen, if it is another.

    Only those are considered that break constraints on outputs least, in most cases not at all.
    Those that failed in more than half of the episodes are not considered, unless all did. Where returns do not
    depend on the seed, the best of the others is recommended. Where they do, the best one seen may be luck: the
    search's own is taken, if it is better than the start in the mean. The start stays where nothing is better.
    """
    failed = (~np.isfinite(returns)).mean(axis=1)
    sound = [i for i in (1, 0, 2) if i < len(returns) and failed[i] <= max(MAX_FAILED, failed.min())]
    sound = [i for i in sound if broken[i] <= broken[sound].min()]
    finite = [row[np.isfinite(row)] for row in returns]
    if not any(np.ptp(row) for row in finite if row.size):
        return max(sound, key=lambda i: finite[i].max(initial=-np.inf))
    if 0 not in sound:
        return sound[-1]
    return 1 if 1 in sound and paired(returns[0] - returns[1])[0] <= 0 else 0
