"""`python killed_driver.py EVENT N FOLDER ENGINE STUDY`: a comparison that is killed at the N-th event of a kind.

EVENT is a kind of event of its ledger, or commit. An event is not durable yet, a commit has just been made.
"""

import json
import os
import signal
import sys
from typing import Any

from policysearch.compare.api import compare
from policysearch.ledger import Ledger

if __name__ == "__main__":
    kind, at, out, engine, study = sys.argv[1:]
    name = "commit" if kind == "commit" else "append_text"
    function, count = getattr(Ledger, name), [0]

    def killing(*arguments: Any) -> Any:
        result = function(*arguments)
        if kind in ("commit", *arguments[1:2]):
            count[0] += 1
            if count[0] == int(at):
                os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(Ledger, name, killing)
    compare(json.loads(study), out=out, engine=engine, progress=False)
