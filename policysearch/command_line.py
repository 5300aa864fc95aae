"""What all command lines share: exit codes, and how they refuse."""

WRONG_REQUEST, MACHINE_TROUBLE, IN_USE, INTERRUPTED = 2, 3, 4, 130


class Refusal(Exception):  # noqa: N818 - it is an answer
    """What was asked for cannot be done: the messages, and the exit code."""

    def __init__(self, messages: list[str], code: int = WRONG_REQUEST) -> None:
        self.messages, self.code = messages, code
        super().__init__("\n".join(messages))
