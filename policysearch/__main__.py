"""The command line `python -m policysearch`, or `policysearch`: lists the commands and starts one of them.

Only light modules are imported here, so that it answers at once.
"""

import sys
from importlib import import_module

from policysearch.command_line import Refusal, running, show_version
from policysearch.registry import did_you_mean

#: The module of a command, and what the command does.
COMMANDS = {
    "compare": ("policysearch.compare", "compare methods of policy search on equal budgets of rollouts"),
    "tune": ("policysearch.tune", "tune the parameters of a function, a program or a machine"),
    "gradients": (
        "policysearch.estimates",
        "compare estimators of the policy gradient with the true gradient",
    ),
    "hitl": ("policysearch.hitl", "optimize an exoskeleton with a person, or with simulated people"),
    "watch": ("policysearch.watch", "show a study or a session in a browser, while it runs or afterwards"),
}


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    return running(lambda: _start(argv))


def _start(argv: list[str]) -> int:
    match argv:
        case [] | ["-h" | "--help", *_]:
            print("Commands, each with its own --help:\n")
            for name, (_, what) in COMMANDS.items():
                print(f"  policysearch {name:10} {what}")
            return 0
        case ["--version", *_]:
            show_version()
            return 0
        case [name, *rest] if name in COMMANDS:
            return int(import_module(f"{COMMANDS[name][0]}.__main__").main(rest))
    hint = did_you_mean(argv[0], COMMANDS, "policysearch --help lists them")
    raise Refusal([f"expected one of {', '.join(COMMANDS)}, got {argv[0]!r}; {hint}"])


if __name__ == "__main__":
    sys.exit(main())
