"""A command line run in this process, where its imports are paid and its loops compiled already.

Tests of signals, crashes and imports start an interpreter of their own.
"""

import io
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest import mock


class Finished(NamedTuple):
    """How a command line ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def run(main: Callable[[list[str]], int], *arguments: str, typed: str = "") -> Finished:
    """The command line with these arguments, and these lines on standard input."""
    out, err = io.StringIO(), io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        stack.enter_context(mock.patch.object(sys, "stdin", io.StringIO(typed)))
        code = main([*arguments])
    return Finished(code, out.getvalue(), err.getvalue())
