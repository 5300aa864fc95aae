"""The result of `policysearch.compare`: a comparison with a picture and a verdict."""

from typing import TYPE_CHECKING

from policysearch.compare import plots
from policysearch.compare.comparison import Comparison
from policysearch.compare.readable import readable_table
from policysearch.compare.verdict import verdict
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

    def _repr_markdown_(self) -> str:
        return markdown(readable_table(self))
