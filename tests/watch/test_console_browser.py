"""The pages of the console in a browser, where there is one: `chromium` on PATH, or what CHROMIUM names.

CONSOLE_PICTURES names a folder for pictures of the pages.
"""

import contextlib
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from console_bench import PLAN, Console, ServedEngine, eventually

from policysearch.hitl.carts import Cart
from policysearch.hitl.countdown import Countdown
from policysearch.hitl.engine import server
from policysearch.hitl.live import PersonName
from policysearch.hitl.people import walk_to_the_end
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.watch.shell.serve import links

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH, and CHROMIUM names none")
PICTURES = os.environ.get("CONSOLE_PICTURES")
HOSTILE = "<script>document.title='x'</script>\x1b[31m=1+1"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Console]]:
    consoles: list[Console] = []

    def make(**options: Any) -> Console:
        consoles.append(Console(tmp_path, **options))
        return consoles[-1]

    yield make
    for console in consoles:
        console.close()


def entered(context: Any, console: Console, role: str = "operator") -> Any:
    """A page of a role, which has its first state; errors of its scripts fail the test."""
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(links(console.address, console.roles)[role])
    reads(page, "#age", "live")
    return page


def reads(page: Any, place: str, words: str, seconds: float = 60.0) -> None:
    """Wait until an element has these words, and no answer is waited for, as nothing can be asked meanwhile.

    To poll is what the content policy of the pages lets through.
    """
    limit = time.monotonic() + seconds
    while words not in (found := page.locator(place).inner_text()) or page.locator("[data-busy=yes]").count():
        assert time.monotonic() < limit, f"{place}: expected {words!r}, got {found!r}"
        page.wait_for_timeout(20)


def photographed(page: Any, name: str) -> None:
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png")


def breathing(console: Console, path: Path, done: threading.Event) -> None:
    """A cart that adds a breath every three seconds of the engine's time."""
    began, told = 0.0, 0
    while not done.wait(0.02):
        now = console.engine.now
        began = began or now
        while told < (now - began) // 3:
            told += 1
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{3 * told},{4.0 + 0.1 * (-1) ** told},0.86,104\n")


def test_a_session_of_ninety_seconds_by_mouse_alone(chromium: Any, made: Any, tmp_path: Path) -> None:
    plan = replace(PLAN, minutes=1.5)
    breaths, done = tmp_path / "breaths.csv", threading.Event()
    breaths.write_text("time_s,power_W_per_kg,rer,heart_rate_bpm\n")
    console = made(plan=plan, speed=30.0, inlet=str(breaths))
    cart = threading.Thread(target=breathing, args=(console, breaths, done))
    cart.start()
    try:
        context = chromium.new_context()
        page, participant = entered(context, console), entered(context, console, "participant")
        page.click("#control")
        reads(page, "#holder", "you have control")
        page.click("#main")
        reads(page, "#main", "Start")
        page.dblclick("#main")
        reads(participant, "#what", "Walk")
        reads(page, "#left", "0:")
        reads(page, "#gases", "RER 0.86, heart rate 104 bpm")
        assert page.locator(".uplot canvas").count() == 2
        reads(page, "#said", "written: 4.0")
        eventually(lambda: console.engine.session.entries)
        assert console.engine.session.entries[0].status == "measured"
        eventually(lambda: len(console.engine.kinds("started")) == 2)  # the next one follows by itself
        if PICTURES:
            reads(page, "#line", "so far")
            photographed(page, "bout")
        page.locator("#stop").dblclick()
        reads(page, "#stopped", "STOPPED at")
        eventually(lambda: len(console.engine.session.entries) == 2)
        assert console.engine.session.entries[1].status == "void"
        reads(page, "#main", "Start")
        reads(page, "#events", "estop: the page of the operator on 127.0.0.1, STOP on a page")
        participant.click("#borg button:has-text('13')")
        reads(participant, "#thanks", "Written down: exertion (Borg, 6 to 20) 13")
        participant.click("#preference button:has-text('B: the last one')")
        for words in ("exertion (Borg, 6 to 20) 13", "preferred of the last two (B is the last) B"):
            reads(page, "#events", words)
        page.click("#do-exclude")
        page.click("#dialog-leave")
        context.close()
        eventually(lambda: not console.engine.server._who)  # control ended with the page
    finally:
        done.set()
        cart.join()


def test_a_result_follows_while_the_person_walks_on(chromium: Any, made: Any) -> None:
    console = made(speed=40.0, walk_on=True)
    context = chromium.new_context()
    page = entered(context, console)
    for button in ("#control", "#main", "#main"):
        page.click(button)
        page.wait_for_timeout(300)
    reads(page, "#waiting", "Bout 1 (search) has no result.")
    page.click("#waiting button")
    page.fill("#dialog input", "4,25")
    page.keyboard.press("Enter")
    first = eventually(lambda: next((e for e in console.engine.session.entries if e.rate == 4.25), None))
    assert first.number == 1
    page.click("#stop")
    reads(page, "#stopped", "STOPPED")
    context.close()


def test_back_reload_and_a_stale_tab_do_nothing_by_themselves(chromium: Any, made: Any) -> None:
    console = made()
    context = chromium.new_context()
    page = entered(context, console)
    page.click("#control")
    reads(page, "#holder", "you have control")
    stale = entered(context, console)
    page.goto("about:blank")
    page.go_back()
    reads(page, "#holder", "no one has control")
    page.click("#control")
    page.click("#main")
    reads(page, "#main", "Start")
    events = len(console.engine.session.events)
    stale.click("#main")
    reads(stale, "#error", "has control; take it first")
    stale.click("#control")  # takes over
    reads(stale, "#holder", "you have control")
    page.click("#main")
    reads(page, "#error", "has control; take it first")
    assert len(console.engine.session.events) == events + 1
    assert not console.engine.kinds("started")
    page.reload()
    reads(page, "#age", "live")
    assert len(console.engine.session.events) == events + 1
    context.close()


MEASURED = """() => new Promise((done) => {
  const began = performance.now(), told = document.getElementById("stopped");
  new MutationObserver(() => {
    if (told.textContent.startsWith("STOPPED")) done(performance.now() - began);
  }).observe(told, { childList: true, characterData: true, subtree: true });
  document.getElementById("stop").click();
})"""


def test_stop_is_confirmed_within_a_quarter_of_a_second_with_thirteen_tabs(chromium: Any, made: Any) -> None:
    console = made(speed=1.0)
    operator, stack = console.begun()
    operator.act("confirm")
    operator.act("start")
    context = chromium.new_context()
    tabs = [entered(context, console, "viewer") for _ in range(13)]
    took = [tab.evaluate(MEASURED) for tab in tabs]
    print("STOP, ms:", *(f"{each:.0f}" for each in took))  # for results/console
    assert min(took) < 250.0, took
    for tab in tabs:
        reads(tab, "#phase", "waits for its start")
    stack.close()
    context.close()


def test_what_people_type_stays_text(chromium: Any, made: Any) -> None:
    plan = replace(PLAN, participant=HOSTILE)
    console = made(plan=plan)
    operator, stack = console.begun()
    for do, name in (("note", "text"), ("adverse", "text"), ("stop", "reason")):
        assert operator.act(do, **{name: HOSTILE})[0] == 200
    context = chromium.new_context()
    page, viewer = entered(context, console), entered(context, console, "viewer")
    for each, place in ((page, "#participant"), (viewer, "#participant"), (page, "#events"), (page, "#said")):
        reads(each, place, "<script>document.title='x'</script>")
        assert each.title().endswith("session")
    assert not page.locator("#events script, #said script").count()
    stack.close()
    context.close()


def test_everything_can_be_done_with_the_keyboard(chromium: Any, made: Any) -> None:
    console = made(speed=1.0)
    context = chromium.new_context()
    page = entered(context, console)

    def to(name: str) -> None:
        """Press Tab until an element has the focus."""
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement.id") == name:
                return
        pytest.fail(f"{name} cannot be reached with Tab")

    to("control")
    page.keyboard.press("Enter")
    reads(page, "#holder", "you have control")
    to("do-note")
    page.keyboard.press("Enter")
    page.keyboard.type("a cough")
    page.keyboard.press("Enter")
    eventually(lambda: console.engine.kinds("note"))
    to("main")
    page.keyboard.press("Enter")
    reads(page, "#main", "Start")
    page.keyboard.press("Enter")
    eventually(lambda: console.engine.kinds("started"))
    to("stop")
    page.keyboard.press("Space")
    reads(page, "#stopped", "STOPPED")
    to("do-undo")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert not page.locator("#dialog").is_visible()
    context.close()


def test_pages_fit_their_screens_and_have_no_serious_findings(chromium: Any, made: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    console = made()  # its clocks stand still
    operator, stack = console.begun()
    operator.act("confirm")
    operator.act("start")
    for width, scheme in ((1280, "light"), (1280, "dark"), (768, "light"), (400, "light"), (400, "dark")):
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        for role in ("operator", "participant", "viewer"):
            page = entered(context, console, role)
            reads(page, "#left", "1:00")
            wide = page.evaluate("() => document.scrollingElement.scrollWidth")
            assert wide <= width, (role, width)
            box = page.locator("#stop").bounding_box()
            assert box["y"] + box["height"] <= 800, (role, width)
            assert box["height"] >= 44, (role, width)
            found = axe.run(page).response["violations"]
            serious = [each["id"] for each in found if each["impact"] in ("serious", "critical")]
            assert not serious, (role, width, scheme, found)
            photographed(page, f"{role}-{width}-{scheme}")
        context.close()
    stack.close()


def test_a_page_whose_server_dies_turns_red_and_comes_back_without_control(chromium: Any, made: Any) -> None:
    console = made(speed=1.0)
    context = chromium.new_context()
    page = entered(context, console)
    page.click("#control")
    reads(page, "#holder", "you have control")
    page.click("#main")
    eventually(lambda: console.engine.engine.phase == "start")
    reads(page, "#main", "Start")
    page.click("#main")
    reads(page, "#line", "walking")
    console.stop_server()
    reads(page, "#age", "NOT CONNECTED since")
    assert page.locator("#main, #control, #do-note").evaluate_all(
        "(all) => all.every((each) => each.disabled)"
    )
    assert page.locator("#stop").is_enabled()
    photographed(page, "not-connected")
    page.click("#stop")
    reads(page, "#stopped", "use the physical stop")
    assert console.engine.engine.phase == "walking"
    console.serve_again()
    reads(page, "#age", "live")
    reads(page, "#holder", "no one has control")
    assert not console.engine.kinds("estop")
    context.close()


def test_a_connection_that_only_seems_open_is_shown_and_replaced(
    chromium: Any, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = made()
    context = chromium.new_context()
    page = entered(context, console, "viewer")
    page.evaluate(
        """() => {
            const age = document.getElementById("age"), told = (window.told = []);
            const options = { childList: true, characterData: true, subtree: true };
            new MutationObserver(() => told.push(age.textContent)).observe(age, options);
        }"""
    )
    monkeypatch.setattr("policysearch.watch.shell.live.PAUSE", 60.0)  # as if the computer slept
    limit = time.monotonic() + 60.0
    while not any("NOT CONNECTED since" in text for text in page.evaluate("() => window.told")):
        assert time.monotonic() < limit
        page.wait_for_timeout(100)
    monkeypatch.undo()
    reads(page, "#age", "live")
    reads(page, "#participant", "participant 1")
    context.close()


def test_a_clock_that_is_set_takes_control_from_no_page(chromium: Any, made: Any) -> None:
    console = made()
    context = chromium.new_context()
    page = entered(context, console)
    page.click("#control")
    reads(page, "#holder", "you have control")
    page.evaluate(
        """() => {
            const age = document.getElementById("age"), now = Date.now;
            let ahead = 0;
            Date.now = () => now() + ahead;
            const setting = setInterval(() => { ahead += 3600e3; }, 200);
            const seen = new MutationObserver(() => {
                if (age.textContent.startsWith("NOT CONNECTED")) seen.disconnect(), clearInterval(setting), window.said = true;
            });
            seen.observe(age, { childList: true, characterData: true, subtree: true });
        }"""
    )
    eventually(lambda: page.evaluate("() => window.said"))
    reads(page, "#age", "live")
    page.wait_for_timeout(1000)
    reads(page, "#holder", "you have control")
    context.close()


def test_a_page_says_that_its_engine_hangs_or_is_gone_and_starts_another(
    chromium: Any, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policysearch.watch.console.gateway.HUNG", 0.5)
    console, hangs = made(log=tmp_path / "session.sqlite"), threading.Event()
    context = chromium.new_context()
    page = entered(context, console)
    monkeypatch.setattr(console.engine.engine, "tick", lambda: hangs.wait(60))
    reads(page, "#age", "THE ENGINE DOES NOT ANSWER since")
    assert page.locator("#control").is_disabled()
    hangs.set()
    reads(page, "#age", "live")
    console.engine.close()
    reads(page, "#age", "THE ENGINE IS GONE since")
    assert page.locator("#control").is_disabled()
    page.click("#engine")
    reads(page, "#age", "live")
    assert page.locator("#engine").is_hidden()
    context.close()


class Walker:
    """A simulated person whose breaths a cart writes when they are due."""

    def __init__(self, path: Path, mass: float) -> None:
        self.name = PersonName("zhang2017", 0, 0)
        self._count: Countdown | None = None
        self._person, self._cart = self.name.person(), Cart(path, "plain", mass, 1e9)

    def breathe(self, served: ServedEngine) -> None:
        engine, count = served.engine, served.engine.count
        if count is not None and count is not self._count and engine.phase == "walking":
            self._count = count
            self._cart.measure(self._person.walk(engine.bout()), count.began[0])
        self._cart.write(served.now)

    def close(self) -> None:
        self._cart.close()


@pytest.mark.nightly
def test_a_whole_rehearsed_day_by_mouse_alone_has_the_laws_of_the_protocol(
    chromium: Any, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock advances by two seconds at every look of the engine, however long the looks take."""
    from playwright.sync_api import Error as PlaywrightError

    monkeypatch.setattr(server, "TICK", 0.01)
    walker = Walker(tmp_path / "breaths.csv", SessionPlan().mass)
    plan = SessionPlan(standing_rate=walker.name.person().person.standing_rate)
    console = made(plan=plan, speed=1e6, inlet=str(tmp_path / "breaths.csv"), breathe=walker.breathe)
    context = chromium.new_context()
    page, participant = entered(context, console), entered(context, console, "participant")
    page.click("#control")
    reads(page, "#holder", "you have control")
    control, main, pressed = page.locator("#control"), page.locator("#main"), Counter[str]()

    def press(button: Any) -> bool:
        """Press a button unless an answer is waited for, or it goes away meanwhile; returns whether it was pressed."""
        with contextlib.suppress(PlaywrightError):
            return not page.locator("[data-busy=yes]").count() and not button.click(timeout=2000)
        return False

    limit = time.monotonic() + 1800.0
    while "The session is over" not in page.inner_text("#label"):
        assert time.monotonic() < limit, page.inner_text("main")
        if control.inner_text() == "Take control":  # a busy computer has lost it
            press(control)
        elif main.is_visible():
            words = main.inner_text()
            pressed[words] += press(main)
        page.wait_for_timeout(100)
    assert {words for words, count in pressed.items() if count} == {"Confirm the new region", "Start"}
    reads(participant, "#what", "The session is over")
    session = console.engine.session
    assert {entry.status for entry in session.entries} == {"measured"}
    expected = Session.begin(plan)
    for _ in walk_to_the_end(expected, walker.name.person()):
        pass
    laws = [(entry.item, entry.law.tolist()) for entry in session.entries]
    assert laws == [(entry.item, entry.law.tolist()) for entry in expected.entries]
    context.close()
    walker.close()


@pytest.mark.nightly
def test_a_page_that_is_open_over_night_keeps_its_memory(chromium: Any, made: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("policysearch.watch.shell.live.PAUSE", 0.002)
    console = made(speed=1.0)
    operator, stack = console.begun()
    operator.act("confirm")
    context = chromium.new_context()
    page = entered(context, console)
    session = context.new_cdp_session(page)

    def used() -> float:
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"])

    sizes = []
    for _ in range(4):
        for i in range(400):
            assert operator.act("note", text=f"{i} {'x' * 200}")[0] == 200
        page.wait_for_timeout(1500)
        sizes.append(used())
    assert sizes[-1] < 1.3 * sizes[1], sizes
    stack.close()
    context.close()
