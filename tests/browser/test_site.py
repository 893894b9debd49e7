"""The documents become a site without a warning; its references have every key, its search answers who comes new."""

import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from prosper_ng.commands._parsers import command_names
from prosper_ng.components import components_of
from prosper_ng.config import hints
from prosper_ng.training.settings import Training
from tests.helpers.documents import DOCUMENTS, ROOT

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "-q", ROOT / "docs", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_on_the_site(site: Path) -> None:
    """Those of docs, each in the navigation of a section."""
    pages = [page.relative_to(ROOT / "docs").with_suffix(".html") for page in DOCUMENTS if page.parent != ROOT]
    assert len(pages) > 40
    assert not [page for page in pages if not (site / page).exists()]


@pytest.mark.parametrize(
    ("page", "package"),
    [
        ("models", "prosper_ng.models"),
        ("esteps", "prosper_ng.estep"),
        ("sources", "prosper_ng.data.sources"),
        ("tasks", "prosper_ng.experiments.tasks"),
        ("observables", "prosper_ng.observables"),
        ("variations", "prosper_ng.estep.variations"),
    ],
)
def test_references_have_every_kind_and_key(site: Path, page: str, package: str) -> None:
    """With its keys."""
    text = (site / "reference" / f"{page}.html").read_text(encoding="utf-8")
    for kind, cls in components_of(package).items():
        assert f">{kind}<a" in text
        for name in hints.fields_of(cls):
            assert name == "kind" or f">{name}</span>" in text


def test_references_have_every_section_and_command(site: Path) -> None:
    """Keys of sections are told by their whole names."""
    text = (site / "reference" / "configuration.html").read_text(encoding="utf-8")
    assert not [name for name in hints.fields_of(Training) if f">training.{name}</span>" not in text]
    text = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert not [name for name in command_names() if f">{name}<a" not in text]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("question", "page"),
    [
        ("which model for my data", "howto/choosing"),
        ("fill gaps", "tutorials/recording"),
        ("run on our cluster", "tutorials/cluster"),
        ("inpainting", "restoration"),
        ("spike-and-slab", "models"),
        ("ELBO", "explanation/method"),
    ],
)
def test_search_answers(browser, site: Path, question: str, page: str) -> None:
    """One click on search, one on a result among the first that are seen."""
    browser.get(f"{(site / 'search.html').as_uri()}?q={quote(question)}")
    found: list[str] = []
    for _ in range(100):
        links = browser.find_elements("css selector", "#search-results li a")
        found = [link.get_attribute("href").partition(site.name + "/")[2] for link in links[:8]]
        if len(found) == 8:
            break
        time.sleep(0.1)
    assert [name for name in found if name.startswith(f"{page}.html")], found


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["index", "models", "experiments/index", "reference/configuration"])
def test_nothing_sticks_out(browser, site: Path, name: str, width: int) -> None:
    """Pages are as wide as the window, also that of a phone; what is wider scrolls in its place."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == 390}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get((site / f"{name}.html").as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
