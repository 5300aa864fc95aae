"""HTML pages that are one file and load nothing: a template, and figures as SVG elements."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from policysearch.reporting.figures import drawing, svg

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure


def render(package: str, template: str = "report", /, **values: Any) -> str:
    """The page of a template `….html.j2` in `package`; text in `values` is escaped, a missing value is an error.

    `marks` in `values` names what stands out when it is pointed at: marks of pictures, whose `url` in matplotlib is
    "#NAME", and elements of the template of the classes "key NAME".
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - slow to import

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("policysearch.reporting", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{template}.html.j2").render(**values)


def drawn(figure: "Callable[[], Figure]", name: str) -> "Markup":
    """A figure for `render`, its marks named after `name`: several fit into one page. A few words if it fails."""
    from markupsafe import Markup  # noqa: PLC0415

    with drawing():
        text = svg(figure(), name)
        return Markup(text[text.index("<svg") :])  # noqa: S704 - matplotlib escapes what it draws
    return Markup("(This picture could not be drawn.)")
