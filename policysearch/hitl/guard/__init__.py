"""The torque guard in its own process, which continues while every other program hangs, crashes or is killed.

**It replaces neither the device's firmware limits nor its physical stop.** It is a program on a general-purpose
computer: if its process is killed or suspended, if the machine stops, or if the device does not return from a call,
nothing ramps, and the device has to act by itself.

    GuardProcess (owner) ──messages──▶ serve (process) ──torque of the law──▶ TorqueGuard ──torque──▶ Device

Every period the process reads the owner's messages, asks the device for the moment of the stride, computes the
torque of the law there (zero without a law), and applies the torque that the `TorqueGuard` returns. The torque ramps
to zero, and stays there until the guard is re-armed, if

    no `beat` has come for `limits.heartbeat`     the owner hangs, or is suspended (Ctrl-Z, SIGSTOP)
    a message cannot be read                      whatever came instead
    `stop` was called

If the owner has ended, for whatever reason, or on SIGTERM, the torque ramps to zero, then the process closes the
device and ends. If the device raises, no ramp is possible: the process closes the device and ends, and `status` says
why. The process is a new program in a session of its own: it shares no lock, file or memory with its owner, and a
terminal can neither interrupt nor suspend it. It writes nothing to disk or terminal, so that neither can block it.
"""
