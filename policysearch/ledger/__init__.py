"""An append-only log of events in one SQLite file, for what a study or a session must not lose.

An event has a number, a kind, a key and a body of plain data, and a checksum that covers the event and the
checksum before it:

    checksum_n = SHA-256(checksum_{n-1}, [n, kind, key, body])

so a flipped bit, a missing row or a swapped pair is found at the event where it happened; SQLite's own checks do not
find them in a payload. Events are written in groups, and `commit` makes a group durable (write-ahead log,
`synchronous=FULL`): afterwards the events survive a killed process and a power cut. A ledger that is deleted or
replaced while it is written is noticed at the next commit.

One process writes; a lock file, which the operating system releases when its owner dies, excludes others. Any process
may read at any time. Only data is read: files with anything but the one table are refused.
"""

from policysearch.ledger.errors import LedgerBusy, LedgerError, LedgerRefused, LedgerReplaced
from policysearch.ledger.lock import holder, locked
from policysearch.ledger.log import Ledger
from policysearch.ledger.storage import (
    APPLICATION_ID,
    SCHEMA,
    Event,
    Position,
    checksum,
    read,
    read_since,
    set_aside,
)
from policysearch.ledger.stored import Stored

__all__ = [
    "APPLICATION_ID",
    "SCHEMA",
    "Event",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerRefused",
    "LedgerReplaced",
    "Position",
    "Stored",
    "checksum",
    "holder",
    "locked",
    "read",
    "read_since",
    "set_aside",
]
