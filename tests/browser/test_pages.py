"""Pages in a real browser: nothing is refused or asked of a network, nothing sticks out, tables are sorted by key."""

from types import SimpleNamespace

import pytest

from prosper_ng import cli
from tests.helpers.small_campaigns import HOSTILE, make_campaign

WIDE, PHONE = 1280, 390


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of a campaign and of its first run, with names that would do harm if they could."""
    plan = make_campaign(tmp_path_factory.getbasetemp(), HOSTILE)
    run = plan.runs[0].folder
    assert cli.main(["--quiet", "report", str(run)]) == 0
    assert cli.main(["--quiet", "report", str(plan.folder)]) == 0
    return SimpleNamespace(campaign=plan.folder / "report.html", run=run / "report.html", plan=plan)


def visit(browser, path, width=WIDE, scheme="light"):
    """Open a page at a width in pixels, in a light or a dark scheme; nothing may be refused or go wrong."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    preference = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    requested = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in requested if not name.startswith("data:")] == []


@pytest.mark.parametrize("name", ["run", "campaign"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_nothing_sticks_out(browser, pages, name, width):
    visit(browser, getattr(pages, name), width)
    browser.execute_script("for (const details of document.querySelectorAll('details')) details.open = true")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    # What may be wider than the page scrolls in a region of its own, and a picture is never wider than its place.
    wider = browser.execute_script("""
        return [...document.querySelectorAll("body *")].filter((element) =>
            element.getBoundingClientRect().right > innerWidth + 1
            && !element.closest(".wide, pre, .skip, .unseen")).map((element) => element.outerHTML.slice(0, 200))
    """)
    assert wider == []


def test_drawings_follow_light_and_dark(browser, pages):
    def colors():
        return browser.execute_script("""
            const text = document.querySelector("svg text");
            return [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill]
        """)

    visit(browser, pages.run, scheme="light")
    paper, text = colors()
    visit(browser, pages.run, scheme="dark")
    dark_paper, dark_text = colors()
    assert brightness(paper) > 240 > brightness(text) + 100
    assert brightness(dark_paper) < 40 < brightness(dark_text) - 100


def brightness(color):
    """The mean of the channels of `rgb(r, g, b)`."""
    channels = [float(number) for number in color.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(channels) / 3


def test_names_run_nothing(browser, pages):
    visit(browser, pages.campaign)
    assert "<script>alert(1)<|script>" in browser.title
    assert browser.execute_script("return document.querySelectorAll('script').length") == 1
    assert browser.execute_script("return document.querySelectorAll('[onclick], main b').length") == 0


def test_images_and_drawings_are_there(browser, pages):
    visit(browser, pages.run)
    sizes = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert sizes
    assert min(sizes) > 100
    heights = browser.execute_script(
        "return [...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect().height)"
    )
    assert len(heights) >= 4
    assert min(heights) > 100


COLUMN = """
    const [table, name] = [document.querySelector("#runs table"), arguments[0]];
    const head = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === name);
    return [...table.tBodies[0].rows].map((row) => row.cells[head].dataset.value ?? null)
"""


def test_a_table_is_sorted_by_key(browser, pages):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    visit(browser, pages.campaign)
    (button,) = browser.find_elements(By.XPATH, "//section[@id='runs']//th/button[.='free_energy']")
    head = button.find_element(By.XPATH, "..")
    before = browser.execute_script(COLUMN, "free_energy")
    known = sorted(float(value) for value in before if value is not None)
    assert before.count(None) == 1
    assert head.get_attribute("aria-sort") is None
    for key, direction, expected in ((Keys.ENTER, "ascending", known), (Keys.SPACE, "descending", known[::-1])):
        button.send_keys(key)
        assert head.get_attribute("aria-sort") == direction
        found = browser.execute_script(COLUMN, "free_energy")
        assert [float(value) for value in found[:-1]] == expected
        assert found[-1] is None
    (other,) = browser.find_elements(By.XPATH, "//section[@id='runs']//th/button[.='state']")
    other.send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") is None
    states = browser.execute_script(
        "return [...document.querySelectorAll('#runs tbody .badge')].map(badge => badge.textContent)"
    )
    assert states == sorted(states)


def test_the_keyboard_reaches_heads_and_regions(browser, pages):
    from selenium.webdriver.common.keys import Keys

    visit(browser, pages.campaign)
    reached = []
    for _ in range(60):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        active = browser.switch_to.active_element
        reached.append((active.tag_name, active.get_attribute("role") or "", active.text))
    assert reached[0] == ("a", "", "Skip to the content")
    assert ("button", "", "free_energy") in reached
    assert any(role == "region" for _, role, _ in reached)
