"""Exit codes of the command lines, and the errors that end one with a message instead of a traceback."""

#: 0 is done; 1: it ran, but what was to be found was not.
WRONG_REQUEST, MACHINE_TROUBLE, IN_USE, INTERRUPTED = 2, 3, 4, 130


class CommandError(Exception):
    """An error that a user can act on: a command line prints its message and ends with `exit_code`."""

    exit_code = WRONG_REQUEST


class EndsStudy(CommandError):  # noqa: N818 - it says what it does
    """An error that ends a whole study, and does not count as the failure of one of its runs."""
