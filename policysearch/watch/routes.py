"""What pages ask for, other than news: a run, and a table as CSV. None of it changes anything."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from policysearch.reporting.tables import csv
from policysearch.visible import visible
from policysearch.watch.source import Watched

PAGES = Path(__file__).parent / "pages"


def routes(watched: Callable[[Mapping[str, str]], Watched]) -> list[Route]:
    """The routes of the pages of ledgers, of which a query asks for one."""

    def run(request: Request) -> Response:
        key = tuple(request.query_params.get(name, "") for name in ("task", "method", "run"))
        try:
            return JSONResponse(watched(request.query_params).detail(key))
        except (KeyError, ValueError) as error:
            raise HTTPException(404, "no such run") from error

    def table(request: Request) -> Response:
        try:
            rows = watched(request.query_params).table(request.path_params["name"])
        except KeyError as error:
            raise HTTPException(404, "no such table") from error
        return Response(visible(csv(pd.DataFrame(rows))), media_type="text/csv; charset=utf-8")

    return [Route("/run", run), Route("/table/{name}.csv", table)]
