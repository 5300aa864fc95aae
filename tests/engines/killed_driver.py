"""`python killed_driver.py FUNCTION N FOLDER ENGINE STUDY`: a comparison that is killed at the N-th call for its ledger."""

import json
import os
import signal
import sys
from typing import Any

from policysearch.compare.api import compare
from policysearch.ledger import Ledger

if __name__ == "__main__":
    name, at, out, engine, study = sys.argv[1:]
    function, count = getattr(Ledger, name), [0]

    def killing(*arguments: Any) -> Any:
        count[0] += 1
        if count[0] == int(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    setattr(Ledger, name, killing)
    compare(json.loads(study), out=out, engine=engine, progress=False)
