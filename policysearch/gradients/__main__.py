"""The door of `python -m policysearch.gradients`; the command is `policysearch.estimates`."""

import runpy

runpy.run_module("policysearch.estimates", run_name="__main__", alter_sys=True)
