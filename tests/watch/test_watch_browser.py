"""The page of a study in Chromium, which Playwright drives: what a reader sees and does."""

import math
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.compare.__main__ import main as compare
from policysearch.ledger import Ledger, read
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune
from policysearch.watch.command import site
from policysearch.watch.shell.address import Address
from policysearch.watch.shell.roles import Roles
from policysearch.watch.shell.serve import links, server
from policysearch.watch.source import Watched, ledger_of

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH, and CHROMIUM names none")
HOSTILE = "<img src=x onerror=alert(1)>"


def until(condition: Any, seconds: float = 20.0) -> None:
    """Wait; the pages' rules forbid what Playwright would evaluate for that."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.fixture(scope="module")
def growing(
    tmp_path_factory: pytest.TempPathFactory, blank_pictures: None
) -> Iterator[tuple[Ledger, list[Any], str]]:
    """A study of two methods, of which some events are in its ledger; the others; the link to its page."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "study.toml").write_text(
        f'rollouts = 40\nruns = 2\n[tasks.lqr]\n[optimizers.ars]\n[optimizers."{HOSTILE}"]\nmethod = "random-search"\n'
    )
    assert compare([str(folder / "study.toml"), "--workers", "1", "--out", str(folder / "all")]) == 0
    events = read(folder / "all/ledger.sqlite")
    (folder / "some").mkdir()
    with Ledger(folder / "some/ledger.sqlite") as ledger:
        first = next(i for i, event in enumerate(events) if event.kind == "run") + 1
        for event in events[:first]:
            ledger.append_text(event.kind, event.key, event.text)
        ledger.commit()
        with served(Watched(ledger_of(folder / "some"))) as link:
            yield ledger, events[first:], link


@contextmanager
def served(*watched: Watched) -> Iterator[str]:
    """The link to pages that are served in a thread."""
    listener, address = Address().bound()
    roles = Roles.new(["viewer"])
    web = server(site(*watched), address, roles)
    thread = threading.Thread(target=lambda: web.run([listener]))
    thread.start()
    yield links(address, roles)["viewer"]
    web.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_a_page_follows_a_study_and_a_method_stands_out(growing: Any, browser: Any) -> None:
    ledger, rest, link = growing
    page = browser.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: said.append(request.url) if "127.0.0.1" not in request.url else None)
    page.goto(link)
    until(lambda: "1/4 runs" in page.inner_text("#progress"))
    assert "running: process" in page.inner_text("#progress")
    for event in rest:
        ledger.append_text(event.kind, event.key, event.text)
    ledger.commit()
    until(lambda: "4/4 runs" in page.inner_text("#progress"))
    assert "finished" in page.inner_text("#progress")
    assert page.inner_text("#link") == "live"
    assert page.locator("table tr[data-label]").count() == 2
    assert page.locator("svg circle").count() == 4
    assert page.locator(".uplot canvas").count() == 1
    assert HOSTILE in page.inner_text("#task-0")  # and no picture of it
    assert page.locator("img").count() == 0

    page.locator("table tr[data-label=ars]").focus()
    assert page.locator("svg g[data-label].faded").count() == 1
    page.keyboard.press("Tab")
    page.fill("#filter", "ARS")
    assert page.locator("table tr[data-label]:visible").count() == 1
    page.fill("#filter", "")

    page.locator("svg a").first.click()
    until(lambda: page.locator("#run").count() == 1)
    assert "run 0" in page.inner_text("#run")
    assert "policysearch.compare replay" in page.inner_text("#run")
    page.go_back()
    until(lambda: page.locator("#run").count() == 0)
    with page.expect_download() as download:
        page.click("text=runs.csv")
    assert Path(download.value.path()).read_text(encoding="utf-8").count("\n") == 5
    assert said == []


@pytest.mark.parametrize("width", [1280, 768, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_its_window(width: int, scheme: str, growing: Any, browser: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(growing[2])
    until(lambda: page.locator(".uplot canvas").count() == 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    assert dark == (scheme == "dark")


def test_two_studies_are_next_to_each_other(growing: Any, browser: Any) -> None:
    folder = growing[0].path.parent
    with served(Watched(ledger_of(folder)), Watched(ledger_of(folder.parent / "all"))) as link:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(link)
        first, second = (page.frame_locator(f"iframe >> nth={i}") for i in range(2))
        for each in (first, second):
            until(lambda each=each: "4 runs" in each.locator("#progress").inner_text())
        assert "all/report.html" in second.locator("#tables").inner_text()
        assert "all/report.html" not in first.locator("#tables").inner_text()
        boxes = [page.locator("iframe").nth(i).bounding_box() for i in range(2)]
        assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
        second.locator("svg a").first.click()
        until(lambda: second.locator("#run").count() == 1)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def bowl(kp: float, kd: float = 3.0, ki: float = 0.5) -> float:
    """A cost, which is no number in a corner."""
    return math.nan if kp > 9.5 else (kp - 4.0) ** 2 + (kd - 3.0) ** 2 + ki


PARALLEL = "svg[aria-label='parallel coordinates of the candidates']"


@pytest.mark.usefixtures("no_tune_pictures")
@pytest.mark.parametrize("goal", ["minimise", "maximise"])
def test_parallel_coordinates_have_a_line_for_every_candidate_and_the_best_stands_out(
    goal: Any, tmp_path: Path, browser: Any
) -> None:
    space = Space(tuple(Parameter(name, 1.0, 0.0, 10.0) for name in ("kp", "kd", "ki")))
    result = tune(
        bowl, space, 60, out=tmp_path, goal=goal, optimizer="random-search", report_rollouts=2, seed=1
    )
    rows = result.history.dropna(subset=["return"])[["kp", "kd", "ki", "return"]].to_numpy()
    assert len(rows) < len(result.history)
    with served(Watched(ledger_of(tmp_path))) as link:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(link)
        until(lambda: page.locator(PARALLEL).count() == 1)
        words = page.locator(f"{PARALLEL} text").all_text_contents()
        lines = page.locator(f"{PARALLEL} > path").evaluate_all(
            "(all) => all.map((each) => [each.getAttribute('stroke'), each.getAttribute('d')])"
        )
        page.fill("#filter", "kd")  # is for the pictures of one parameter
        assert page.locator(PARALLEL).is_visible()
        page.close()
    assert words[2::3] == ["kp", "kd", "ki", "value"]
    low, high = rows.min(axis=0), rows.max(axis=0)
    assert [float(text) for text in words[1::3]] == pytest.approx(low, abs=0.01, rel=1e-3)
    assert [float(text) for text in words[0::3]] == pytest.approx(high, abs=0.01, rel=1e-3)
    # four axes on 640 points less 44 at each edge; 162 points from the lowest value, at 176, to the highest, at 14
    x, y = [44 + 184 * k for k in range(4)], 176 - 162 * (rows - low) / (high - low)
    found = [[float(text) for text in re.findall(r"[\d.]+", d)] for _, d in lines]
    assert all(each[0::2] == pytest.approx(x) for each in found)
    apart = np.abs(np.array([each[1::2] for each in found])[:, None] - y).max(
        axis=2
    )  # every line, every candidate
    assert sorted(apart.argmin(axis=1)) == [*range(len(rows))]
    assert apart.min(axis=1).max() < 0.06
    colours = [colour for colour, _ in lines]
    assert colours.count("#D55E00") == 1
    assert colours[-1] == "#D55E00"  # on top of the others
    assert colours.count("#0072B2") == math.ceil(len(rows) / 10) - 1
    assert found[-1][7] == pytest.approx(176 if goal == "minimise" else 14)


@pytest.mark.usefixtures("no_tune_pictures")
def test_one_parameter_has_no_parallel_coordinates(tmp_path: Path, browser: Any) -> None:
    tune(
        bowl,
        Space((Parameter("kp", 1.0, 0.0, 10.0),)),
        20,
        out=tmp_path,
        goal="minimise",
        optimizer="random-search",
        report_rollouts=2,
    )
    with served(Watched(ledger_of(tmp_path))) as link:
        page = browser.new_page()
        page.goto(link)
        until(lambda: page.locator("figure[data-text=kp] canvas").count() == 1)
        assert page.locator(PARALLEL).count() == 0
        assert not page.locator("figcaption", has_text="Parameters and value of every candidate").is_visible()
        page.close()
