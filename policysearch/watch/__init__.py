"""Pages in a browser: the console of a session with a person, and studies that can be watched while they run."""
