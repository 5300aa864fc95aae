"""Memory that a search needs, and what there is: too large a search is refused before it starts."""

import os
from pathlib import Path

GIB = 2**30
#: Bytes that there always are: less is not compared with what there is.
LITTLE = 2**24
#: Bytes of a parameter: its name, and a few vectors.
PARAMETER_BYTES = 100


def available() -> int:
    """Bytes of memory that can be had: Linux's own estimate, elsewhere all that is built in."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def shortage(needed: int) -> str:
    """What is needed and what there is, in words; nothing if it is enough."""
    if needed <= LITTLE or needed <= (there := available()):
        return ""
    return f"needs about {needed / GIB:,.1f} GiB of memory, and {there / GIB:,.1f} GiB are available"
