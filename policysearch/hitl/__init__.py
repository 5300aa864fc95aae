"""Human-in-the-loop optimization: sessions of a person who walks with an exoskeleton."""

LOG = "session.sqlite"  # the log in the folder of a session
