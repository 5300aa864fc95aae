"""policysearch: good parameters for a controller by trying them, and an honest comparison of the ways.

Start with `python -m policysearch.compare --help`, or with `policysearch.search.generations` in Python.
"""

__version__ = "0.1.0"
