"""Writes the ledgers, most of version 0.1.0, that `digests.py` opens and continues: studies, tunings and a session.

`PYTHONPATH=… python tests/make_digest_assets.py`, with version 0.1.0 in that path, made them with numpy 2.4.6 on
2026-11-29. They are kept as they are: later versions have to continue them. `ledger_scores_0_2_0.sqlite` is of 0.2.0, whose
methods have other revisions.
"""

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from digests import (
    ASKED_FILES,
    ASSETS,
    LEDGER_STUDY,
    OPERATED,
    OPERATED_SESSION,
    PROGRAM_FILES,
    SCORE_STUDY,
    TUNE_ASKED,
    TUNE_LEDGER,
    TYPED,
    Case,
    prepare,
    run,
)

#: The case that makes each of them, its file, and the share of its events that is kept.
MADE = {
    "ledger_0_1_0.sqlite": (Case((f"{LEDGER_STUDY} --runs 2 --workers 1",)), "ledger.sqlite", 0.78),
    "ledger_scores_0_1_0.sqlite": (Case((f"{SCORE_STUDY} --runs 2 --workers 1",)), "ledger.sqlite", 0.8),
    "ledger_scores_0_2_0.sqlite": (Case((f"{SCORE_STUDY} --runs 2 --workers 1",)), "ledger.sqlite", 0.8),
    "tune_0_1_0.sqlite": (Case((TUNE_LEDGER,), files=PROGRAM_FILES), "tune.sqlite", 0.5),
    "tune_asked_0_1_0.sqlite": (Case((TUNE_ASKED,), files=ASKED_FILES, typed=TYPED), "tune.sqlite", 1.0),
    "session_0_1_0.sqlite": (Case((OPERATED_SESSION,), typed=OPERATED), "session.sqlite", 1.0),
}


def cut(path: Path, share: float) -> None:
    """Take the last events out of a ledger, as if the process had been killed earlier."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (count,) = db.execute("SELECT COUNT(*) FROM events").fetchone()
        db.execute("DELETE FROM events WHERE number > ?", (int(share * count),))
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("VACUUM")


def main() -> None:
    """Make the ledgers that are named, or all."""
    for asset in sys.argv[1:] or MADE:
        case, ledger, share = MADE[asset]
        with tempfile.TemporaryDirectory() as folder:
            prepare(case, Path(folder))
            for command in case.commands:
                done = run(command, Path(folder), case.typed)  # lines that end before the questions stop it
                if done.returncode != 0 and "stopped" not in done.stderr:
                    raise SystemExit(f"{asset}: {done.stderr}")
            cut(Path(folder) / "out" / ledger, share)
            (ASSETS / asset).write_bytes((Path(folder) / "out" / ledger).read_bytes())


if __name__ == "__main__":
    main()
