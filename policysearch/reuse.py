"""How results that are already in a folder are used: the options that the commands share.

Results belong to what was run. If that has changed, a folder is refused with what differs
(`policysearch.digests.agreement`), unless one of these options says what is to be done.
"""

from typing import Annotated, Any, TypedDict

from pydantic import BaseModel

from policysearch.configuration import STRICT, validated
from policysearch.flags import described, flag


@described
class Reuse(BaseModel):
    """What becomes of results that are already there."""

    model_config = STRICT

    fresh: Annotated[bool, flag("")] = False
    """Start over; the ledger that is there is kept next to the new one."""

    keep: Annotated[str | None, flag("REASON")] = None
    """Continue although what is run has changed; the reason is recorded, and shown with the results."""

    retry_failed: Annotated[bool, flag("")] = False
    """Run again what has failed, and all of the search that followed it."""

    allow_nondeterminism: Annotated[bool, flag("")] = False
    """Continue where the same parameters and seed give different returns; the results say so."""

    @classmethod
    def taken(cls, options: Any) -> "Reuse":
        """What keywords say, which are taken out of `options`.

        Raises:
            ValueError: with a line for every value that makes no sense.
        """
        return validated(cls, {name: options.pop(name) for name in cls.model_fields if name in options})


class ReuseOptions(TypedDict, total=False):
    """The keywords that `Reuse` describes."""

    fresh: bool
    keep: str | None
    retry_failed: bool
    allow_nondeterminism: bool
