"""The torque guard in its own process, which continues while every other program hangs, crashes or is killed.

**It replaces neither the device's firmware limits nor its physical stop.** It is a program on a general-purpose
computer: if its process is killed or suspended, if the machine stops, or if the device does not return from a call,
nothing ramps, and the device has to act by itself.

    GuardProcess (owner) ──messages──▶ serve (process) ──readings, law──▶ Control ──torque──▶ Driver ──▶ Device
                                          └──ring in shared memory──▶ record (process) ──▶ guard-0001.csv

Every period the process reads the owner's messages and the device, computes the torque of the law at the moment of
the stride of each side (zero without a law), and tells the device what a `TorqueGuard` for each side lets through.
The torque ramps to zero, and stays there until the guard is armed again, if

    no `beat` has come for `limits.heartbeat`     the owner hangs, or is suspended (Ctrl-Z, SIGSTOP)
    a message cannot be read, or too many come    whatever came instead
    `stop` was called
    the stride of a side under a law stalls, jumps, moves backwards, is old or is no stride
    the torque measured differs from the torque told
    the device reports a fault or a pressed emergency stop

If the owner has ended, for whatever reason, if the device raises in some ticks in a row, if anything else raises, or
on a signal that can be caught, the torque ramps to zero, then the process closes the device and ends. `status` says
why. On SIGKILL and SIGSEGV nothing ramps: the device's own watchdog has to act. The process is a new program in a
session of its own. It shares with its owner only a socket and the ring, and a terminal can neither interrupt nor
suspend it. It writes nothing to disk or terminal, so that neither can block it.
"""
