"""What is done before a search: what is run is digested, and tried."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from policysearch.digests import Digests, of_command, of_files, of_object
from policysearch.digests.agreement import revision, revision_of_scales
from policysearch.evaluators import ProgramEvaluator, Runner
from policysearch.evaluators.functions import sign_of
from policysearch.evaluators.repeatable import Check, check
from policysearch.optimizers import revision_of
from policysearch.reuse import Reuse
from policysearch.search import AskTell
from policysearch.tune.journal import Journal
from policysearch.tune.options import TuneSettings
from policysearch.tune.tuning import Tuning


def check_method(tuning: Tuning) -> None:
    """See that the rollouts suffice for a candidate other than the start, and that the method needs no policy.

    Raises:
        ValueError: if not.
    """
    budget, name = tuning.settings.rollouts, tuning.name
    search = AskTell(tuning.method, tuning.domain, tuning.settings.seed, "tune", name)
    proposal = search.ask()
    if proposal.sample or proposal.record:
        raise ValueError(f"{name}: expected a method without scores, as there are no actions to draw")
    before, least = 0, proposal.cost
    while least <= budget and not tuning.elsewhere(proposal):
        search.tell(proposal, np.full((len(proposal.params), proposal.episodes), np.nan))
        proposal = search.ask()
        before, least = least, least + proposal.cost
    if least > budget:
        what = f"{before} of the start and one generation" if before else "one generation"
        raise ValueError(f"rollouts: expected at least {least}, {what} of {name}, got {budget}")


def what_is_run(things: Sequence[Any], tuning: Tuning) -> Digests:
    """The digests of functions and command lines, of their files, and the revisions of the method and of the scales.

    Raises:
        ValueError: for a file that cannot be read.
    """
    settings = tuning.settings
    directory = settings.directory or ""
    folder = Path() if "{" in directory else Path(directory)
    templates = [settings.template] if isinstance(settings.template, str) else settings.template or []
    found = of_files([*settings.depends, *templates]) | revision(tuning.name, revision_of(tuning.method))
    found |= revision_of_scales(tuning.space)
    for thing in things:
        if isinstance(thing, str):
            found |= of_command(thing.replace("{here}", str(Path.cwd())), folder)
        elif thing is not None:
            found |= of_object(thing)
    return found


def checked(
    tuning: Tuning, journal: Journal, plant: Runner, runs: Callable[[], Digests], reuse: Reuse
) -> tuple[Tuning, list[str]]:
    """Try the plant before its first search, and write down what came of it.

    Returns the tuning, which knows whether the start fails, and what readers have to know.

    What a rollout changes of the values that the plant holds is its state, and no part of what it is: `runs` gives
    the digests after it.

    Raises:
        ValueError: if the same parameters and seed give different returns, unless that is allowed.
    """
    settings = tuning.settings
    known = [Check(**body) for _, body in journal.of("check")]
    if known:
        return _known(tuning, known[-1])
    if settings.external or journal.rollouts:
        return tuning, []
    tuning.say("trying the start before the search")
    files = _files(settings)
    made = check(plant, tuning.space.domain.start, (settings.seed, "tune", "check"), sign_of(settings.goal))
    if isinstance(plant, ProgramEvaluator) and plant.workers > 1 and not reuse.allow_nondeterminism:
        _check_files(files, _files(settings), plant.workers)
    if made.failure:
        tuning.say(f"the start fails: {made.failure}")
    if made.difference and not reuse.allow_nondeterminism:
        raise ValueError(f"{made.difference}; mend that, or allow it with --allow-nondeterminism")
    digests = journal.runs.without_state(runs())
    if digests.changing:
        journal.write("runs", digests.document())
    if digests.unknown:
        tuning.say(
            f"changes of {', '.join(digests.unknown)} are not noticed; `depends` names files to look at"
        )
    journal.write("check", vars(made))
    return _known(tuning, made)


def _files(settings: TuneSettings) -> dict[str, tuple[int, int]]:
    """The files in the folder in which a program runs, with their times and sizes; none in a folder of its own."""
    directory = settings.directory or ""
    if "{" in directory:
        return {}
    found = [entry for entry in os.scandir(directory or ".") if entry.is_file()]
    return {entry.name: (entry.stat().st_mtime_ns, entry.stat().st_size) for entry in found}


def _check_files(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], workers: int) -> None:
    """Raise ValueError for files that a program has written to a folder that its runs share."""
    if written := sorted(name for name, state in after.items() if before.get(name) != state):
        raise ValueError(
            f"workers: the program writes {', '.join(written[:3])} in the folder where it runs, and {workers} runs "
            "at a time would overwrite each other's files: give each run a folder of its own, with "
            'directory = "{dir}", or take one worker'
        )


def _known(tuning: Tuning, made: Check) -> tuple[Tuning, list[str]]:
    return replace(tuning, start_fails=made.failed == 2), [f"checks before the search: {made.words}"]
