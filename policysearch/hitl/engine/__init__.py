"""The engine of a session: it owns the log, the time of the bouts, the breaths, and the beats to the guard.

    guard ◀─ beat, law, stop ─ engine ◀─ local socket ─ clients: the terminal, and others

Each of these processes may die alone. If the engine dies, the guard ramps to zero, and the next engine finds a bout
without an end, which is void. If a client dies, the bout continues to its end, and no other begins. If the guard or
the device dies, the bout is void, and no other begins before the operator has armed a new guard.
"""

NUMBER = "{number}"  # in the name of a breath file: that of the bout
