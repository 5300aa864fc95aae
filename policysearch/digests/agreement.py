"""Whether a ledger holds results of what is to be run now: its recorded digests and those of now, compared."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from policysearch.digests.run import Digests
from policysearch.errors import WRONG_REQUEST
from policysearch.ledger import LedgerError
from policysearch.reuse import Reuse
from policysearch.space import Space


class OtherRun(LedgerError):  # noqa: N818 - it states what was found
    """A folder holds results of something else than what is to be run now."""

    exit_code = WRONG_REQUEST


def revision(method: str, number: int = 1) -> Digests:
    """The digest of a method of this package or of a plug-in: its number, which its author raises."""
    return Digests({f"revision of {method}": str(number)})


def scales_name(task: str = "") -> str:
    """What the translation of coordinates to parameters is called among the digests."""
    return f"scales of parameters of {task}" if task else "scales of parameters"


def revision_of_scales(space: Space | None, task: str = "") -> Digests:
    """The digest of the translation of coordinates to parameters, where it is not that of version 0.1.0."""
    number = 1 if space is None else space.revision
    return revision(scales_name(task), number) if number > 1 else Digests()


def rollouts_name(task: str) -> str:
    """What the arithmetic of simulator and policy is called among the digests."""
    return f"rollouts of {task}"


def revision_of_rollouts(number: int, task: str) -> Digests:
    """The digest of the arithmetic of simulator and policy, where it is not that of version 0.1.0."""
    return revision(rollouts_name(task), number) if number > 1 else Digests()


def agreed(
    path: Path, known: list[Any], now: Digests, reuse: Reuse, *, results: Collection[str], failed: bool
) -> Iterator[tuple[str, Any]]:
    """The events, as kind and body, with which a ledger agrees to what is run now.

    Args:
        path: of the ledger, for messages.
        known: the bodies of its events of the kind `runs`, in order.
        now: the digests of what is to be run.
        reuse: what the user has said.
        results: the methods of which the ledger holds any; the first revision of each where nothing else is known.
        failed: whether all of them have failed, so that --retry-failed is enough.

    Raises:
        OtherRun: if what is run has changed, and nothing says what is to be done.
    """
    first = {name: text for method in sorted(results) for name, text in revision(method).known.items()}
    before = Digests({name: text for name, text in first.items() if name in now.known})
    before |= Digests.of(known[-1]) if known else Digests()
    changed, now = before.differences(now), before.continued(now)
    if changed and results and reuse.keep is None:
        retry = ", --retry-failed to run again what has failed" if failed else ""
        raise OtherRun(
            f"{path}: holds results of something else than what is to be run now: {'; '.join(changed)}. Choose "
            "another folder with --out, --fresh to start over (the old results stay next to the new ones)"
            f"{retry}, or --keep REASON if the change makes no difference"
        )
    if changed and results:
        yield "kept", {"changed": changed, "reason": reuse.keep}
    if not known or before != now:
        yield "runs", now.document()


def remarks(kept: list[Any], *, unknown: bool) -> tuple[str, ...]:
    """What readers of results have to know.

    Args:
        kept: the bodies of the events of that kind.
        unknown: whether results are older than the digests, as those of version 0.1.0 are.
    """
    lines = [f"kept although {'; '.join(body['changed'])}: {body['reason']}" for body in kept]
    if unknown:
        lines.append(
            "begun by a version that kept no digest of what it ran: whether it was the same is not known"
        )
    return tuple(lines)
