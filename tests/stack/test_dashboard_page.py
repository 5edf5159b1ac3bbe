"""The dashboard in a real Chromium against a real stack: the figures, the phone, scaling with a token, dead parts."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from analytics.client import QuestionsClient
from shop_stack.access import read_token
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.settings import Home, read_endpoints
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.history import add_products
from shop_stack.traffic.load import run_load
from tests import needs
from tests.stack.command import shopfloor

pytestmark = pytest.mark.real
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A running stack with a catalog, a few orders and its dashboard."""
    needs.envoy()
    needs.chromium()
    home = Home(tmp_path_factory.mktemp("dashboard") / "home")
    shopfloor("up", "--detach", "--dashboard", "--delivery-seconds", "1", home=home)
    try:
        add_products(home, made_up_products(40))
        run_load(home, rate=4, seconds=5, seed=3, orders_only=True)
        yield home
    finally:
        shopfloor("down", home=home)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's or the system's Chromium, headless."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=needs.chromium(), args=FLAGS)
        yield chromium
        chromium.close()


def opened(browser: Browser, home: Home, width: int, height: int) -> Page:
    """The page, rendered to its end."""
    page = browser.new_page(viewport={"width": width, "height": height})
    address = read_endpoints(home).dashboard
    assert address is not None
    page.goto(address)
    expect(page.get_by_text("Best sellers, last 7 days")).to_be_visible(timeout=PATIENCE_MS)
    return page


def test_the_page_shows_todays_figures_and_every_panel(home: Home, browser: Browser) -> None:
    page = opened(browser, home, 1440, 900)
    for words in ("Today so far", "The next 14 days", "The next hour", "Services", "Events by topic",
                  "Can these figures be trusted?"):  # fmt: skip
        expect(page.get_by_role("heading", name=words)).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_test_id("stMetricValue").first).to_contain_text("GBP", timeout=PATIENCE_MS)
    assert page.get_by_test_id("stException").count() == 0
    page.close()


def test_a_panel_is_saved_as_csv(home: Home, browser: Browser) -> None:
    page = opened(browser, home, 1440, 900)
    with page.expect_download(timeout=PATIENCE_MS) as saved:
        page.locator(".st-key-csv-revenue_by_day button").click(timeout=PATIENCE_MS)
    lines = Path(saved.value.path()).read_text().splitlines()
    assert lines[0].startswith("day,origin,orders,revenue_minor")
    assert len(lines) > 1
    page.close()


def test_it_fits_a_phone(home: Home, browser: Browser) -> None:
    page = opened(browser, home, 390, 844)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    page.close()


def test_scaling_asks_for_a_token_and_keeps_it_out_of_the_address(home: Home, browser: Browser) -> None:
    page = opened(browser, home, 1440, 900)
    page.get_by_text("Scale a service").click()
    page.get_by_label("Replicas").fill("2")
    page.get_by_label("Replicas").press("Tab")
    page.get_by_placeholder("why, for those who read it later").fill("the dashboard's test")
    page.get_by_role("button", name="Scale", exact=True).click()
    expect(page.get_by_text("A reason and the operator's token are needed.")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_placeholder("why, for those who read it later").fill("the dashboard's test")
    page.locator("input[type=password]").fill(read_token(home))
    page.get_by_role("button", name="Scale", exact=True).click()
    expect(page.get_by_text("Scaling storefront to 2.")).to_be_visible(timeout=PATIENCE_MS)
    assert read_token(home) not in page.url
    page.close()


def test_an_earlier_minute_is_named_on_every_panel_and_left_again(home: Home, browser: Browser) -> None:
    page = opened(browser, home, 390, 844)
    address = f"{read_endpoints(home).dashboard}/?series=Orders"
    page.goto(f"{address}&at={known_minute(home)}")
    expect(page.get_by_text("Looking back: as of")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_role("heading", name="Services, in the minute before")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("known of now alone; it is not shown").last).to_be_visible(timeout=PATIENCE_MS)
    assert page.get_by_role("heading", name="Today so far").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, main.scrollHeight)")
    expect(page.get_by_text("Looking back: as of")).to_be_in_viewport(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Back to now").click()
    expect(page.get_by_role("heading", name="Today so far")).to_be_visible(timeout=PATIENCE_MS)
    assert page.url == address
    assert page.get_by_test_id("stException").count() == 0
    page.close()


def known_minute(home: Home) -> str:
    """The first whole minute that is over and after which there are events; waits for it, a minute at most."""
    with QuestionsClient(read_endpoints(home).analytics, read_token(home, "viewer")) as client:
        first = datetime.fromisoformat(client.ask("data_range").rows[0]["first"]) + timedelta(minutes=1)
    ends = time.monotonic() + 70
    while datetime.now(UTC) < first and time.monotonic() < ends:
        time.sleep(0.5)
    return f"{first:%Y-%m-%dT%H:%MZ}"


@pytest.mark.parametrize(
    ("at", "why"),
    [("%3Cimg%20src%3Dx%3E", "is not a time"), ("1999-01-01", "the data begin"), ("2999-01-01", "to come")],
)
def test_a_moment_that_cannot_be_shown_is_said_in_place_of_figures(
    home: Home, browser: Browser, at: str, why: str
) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{read_endpoints(home).dashboard}/?at={at}")
    expect(page.get_by_text("This moment cannot be shown")).to_contain_text(why, timeout=PATIENCE_MS)
    assert page.get_by_test_id("stMetricValue").count() == 0
    page.get_by_role("button", name="Show now").click()
    expect(page.get_by_role("heading", name="Today so far")).to_be_visible(timeout=PATIENCE_MS)
    page.close()


def test_a_service_that_is_gone_is_an_open_incident_until_it_is_back(home: Home, browser: Browser) -> None:
    page = opened(browser, home, 1440, 900)
    expect(page.get_by_text("incident open, since")).to_be_hidden()
    shopfloor("scale", "recommendations", "0", "--reason", "to see it gone", "--yes", home=home)
    try:
        expect(page.get_by_text("1 incident open, since")).to_be_visible(timeout=PATIENCE_MS)
    finally:
        shopfloor("scale", "recommendations", "1", "--reason", "back", "--force", home=home)
    expect(page.get_by_text("incident open, since")).to_be_hidden(timeout=PATIENCE_MS)
    page.close()


def test_dead_analytics_is_said_and_the_rest_stays(home: Home, browser: Browser) -> None:
    page = opened(browser, home, 1440, 900)
    analytics = next(part for part in SupervisorRuntime(home).observe().parts if part.name == "analytics")
    assert analytics.pid is not None
    process = psutil.Process(analytics.pid)
    process.suspend()
    try:
        expect(page.get_by_text("analytics does not answer").first).to_be_visible(timeout=PATIENCE_MS)
        expect(page.get_by_role("heading", name="Services")).to_be_visible(timeout=PATIENCE_MS)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    page.close()
