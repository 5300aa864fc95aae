"""What `python -m policysearch.watch` serves: the page of a folder, or of two next to each other."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policysearch.watch.routes import PAGES, routes
from policysearch.watch.shell.address import Address
from policysearch.watch.shell.app import Site
from policysearch.watch.shell.live import Changes, Page
from policysearch.watch.shell.roles import Roles
from policysearch.watch.shell.serve import links, serve
from policysearch.watch.source import Watched, ledger_of


class Several:
    """Ledgers of which every page shows one; a `policysearch.watch.shell.live.Source`.

    Args:
        watched: the ledgers; a page asks for one by its number, as `study=1`, and has the first if it asks for none.
    """

    def __init__(self, watched: Sequence[Watched]) -> None:
        self._watched, self.changes = watched, Changes()
        for each in watched:
            each.changes = self.changes

    def of(self, query: Mapping[str, str]) -> Watched:
        """The ledger that a query asks for."""
        number = query.get("study", "0")
        return self._watched[int(number) if number in map(str, range(len(self._watched))) else 0]

    async def run(self) -> None:
        """Look at all of them."""
        await asyncio.gather(*(each.run() for each in self._watched))

    def joined(self, page: Page) -> None:
        """A page has been opened."""
        self.of(page.query).joined(page)

    def left(self, page: Page) -> None:
        """A page has been closed."""
        self.of(page.query).left(page)

    def news(self, page: Page) -> Mapping[str, Any] | None:
        """The parts that have changed since the page was told them."""
        return self.of(page.query).news(page)


def site(*watched: Watched) -> Site:
    """The pages of ledgers, their files, and what they ask for."""
    source, first = Several(watched), "watch.html" if len(watched) == 1 else "pair.html"
    return Site(
        {"viewer": PAGES / first}, source, routes(source.of), {"pages": PAGES}, framed=len(watched) > 1
    )


def command(folders: Sequence[Path], port: int) -> int:
    """Serve the page of a folder, or of two, until Ctrl-C; returns the exit code.

    Raises:
        Refusal: if nothing in a folder can be watched, or the port is in use.
    """
    pages = site(*(Watched(ledger_of(folder)) for folder in folders))
    listener, address = Address(port=port).bound()
    roles = Roles.new(["viewer"])
    print(f"{' and '.join(map(str, folders))}: {links(address, roles)['viewer']}")
    print("Ctrl-C ends the page; the study does not notice.", flush=True)
    serve(pages, address, roles, listener)
    return 0
