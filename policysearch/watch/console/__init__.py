"""The console of a session: pages of the operator, the participant and viewers, clients of the session's engine.

    engine ◀─ local socket ─ this process ◀─ WebSocket down, POST /act up ─ browsers

The engine owns the session; if this process dies, nothing stops, and no next bout begins. NumPy is not imported here.

    command   the command line, which starts an engine if none runs
    link      a connection to an engine
    gateway   what pages are shown, and who has control
    act       POST /act: what is refused before the engine is asked
    views     what each role is shown, and may do
"""
