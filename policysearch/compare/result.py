"""The result of `policysearch.compare`: a comparison with a picture and a verdict."""

from functools import cached_property
from typing import TYPE_CHECKING

from policysearch.compare import plots
from policysearch.compare.comparison import Comparison
from policysearch.compare.readable import readable_table
from policysearch.compare.verdict import verdict
from policysearch.reporting import notebook
from policysearch.reporting.tables import markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CompareResult(Comparison):
    """The tables of a study, what follows from them, a picture and words; a notebook shows the summary."""

    def plot(self) -> "Figure":
        """The anytime curves and final returns of all tasks."""
        return plots.overview(self)

    def verdict(self) -> str:
        """What the numbers support, in words."""
        return verdict(self)

    @cached_property
    def _picture(self) -> bytes | None:
        return notebook.picture(self.plot)

    def _repr_markdown_(self) -> str:
        return markdown(readable_table(self))

    def _repr_png_(self) -> bytes | None:
        return self._picture

    def _repr_html_(self) -> str:
        table = readable_table(self).to_html(index=False)
        return notebook.page(self.verdict().replace("**", ""), self._picture, table)
