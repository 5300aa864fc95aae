"""How Sphinx builds these pages; `make site` runs it.

Sphinx with MyST (pages in Markdown) and the PyData theme: all three have several releases a year. Links to pages and
headings that do not exist are warnings, and `-W` makes them errors. The built pages, with their scripts, fonts and
search index, are local files that need neither a server nor a network. MkDocs 1 has had no release since 2024,
Material for MkDocs is in maintenance, and its successor Zensical imports no plugins yet.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from generator import write_all

from policysearch import __version__

project = "policysearch"
author = "The policysearch developers"
copyright = author  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = ["myst_parser"]
exclude_patterns = ["generator"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

smartquotes = False  # `--list` is no dash

html_theme = "pydata_sphinx_theme"
html_title = "policysearch"
html_static_path = ["_static"]
html_css_files = ["policysearch.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}


#: A block that is a file: its name is in the first line.
FILE = re.compile(r'^```([\w+-]+) title="([^"]+)"$', re.MULTILINE)


def _named(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Show the names of files above their blocks."""
    source[0] = FILE.sub(r"```{code-block} \1\n:caption: \2\n", source[0])


def setup(app: Sphinx) -> None:
    """Write the generated pages before Sphinx looks for pages."""
    write_all(HERE)
    app.connect("source-read", _named)
