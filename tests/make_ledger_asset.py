"""Writes tests/assets/ledger_v1.sqlite: a study with one finished run, and one in the middle.

`python tests/make_ledger_asset.py` made it with numpy 2.4.6 on 2026-11-21. Kept as it is: later versions have to
continue it. Its methods need additions and products only, so that every processor gives the same numbers.
"""

import tempfile
from pathlib import Path

from policysearch.compare.journal import NAME, StudyJournal
from policysearch.compare.session import StudySession
from policysearch.compare.study import Study
from policysearch.ledger import Ledger, read

ASSET = Path(__file__).parent / "assets" / "ledger_v1.sqlite"
STUDY = Study.resolve(
    {"tasks": ["lqr"], "optimizers": ["random-search", "hill-climbing"], "rollouts": 60, "runs": 1}
)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        with StudyJournal(Path(folder), STUDY) as journal:
            for _ in StudySession(STUDY, journal).run(workers=1):
                pass
        events = read(Path(folder) / NAME)
    end = next(i for i, event in enumerate(events) if event.kind == "run")
    ASSET.unlink(missing_ok=True)
    with Ledger(ASSET) as ledger:
        for event in events[: end + 3]:
            ledger.append(event.kind, event.key, event.body)
