"""The page of a campaign: every run is in it, with its numbers, its reason and the way to its own page."""

import re
from urllib.parse import unquote

import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.campaigns.results import ResultTable, collect
from prosper_ng.campaigns.run_state import run_states
from prosper_ng.report.campaign_page import campaign_page
from prosper_ng.storage.run_record import read_run
from tests.helpers.campaigns import planned
from tests.helpers.pages import Page, check
from tests.helpers.small_campaigns import HOSTILE, make_campaign
from tests.helpers.small_runs import SEARCH


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return make_campaign(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def page(plan):
    """The page of the campaign."""
    return report(plan)


def report(plan, *arguments):
    assert cli.main(["--quiet", "report", str(plan.folder), *map(str, arguments)]) == 0
    page = Page(plan.folder / "report.html")
    check(page)
    return page


def test_page_counts_and_names_all_runs(plan, page):
    assert page.texts["h1"] == ["bars word"]
    assert "8 runs of 4 points that differ in estep.n_states and set." in page.text
    assert page.texts["span"][:4] == ["finished", "stopped", "waiting", "failed"]
    assert page.texts["li"][:4] == ["5", "1", "1", "1"]
    assert {run.id for run in plan.runs} <= set(page.texts["th"])
    assert [run.id for run in plan.runs if run.id not in page.source] == []


def test_failed_and_unfinished_runs_say_why_and_what_to_do(plan, page):
    assert "sweep 7: word fell" in page.texts["p"]
    assert any("rerun" in text for text in page.texts["p"])
    assert any(text.startswith("stopped by the file") for text in page.texts["p"])
    assert any(f"{plan.runs[5].id}, 7 of 12 sweeps" in text for text in page.texts["span"])
    assert any(f"{plan.runs[7].id}, 0 of 12 sweeps" in text for text in page.texts["span"])


def test_numbers_are_those_of_the_runs(plan, page):
    values = [float(cell["data-value"]) for cell in page.all("td") if "data-value" in cell]
    first = [read_run(run.folder) for run in plan.runs[:2]]
    energies = [record.last("free_energy") for record in first]
    assert set(energies) <= set(values)
    assert np.mean(energies) in values
    assert f"{np.mean(energies):.5g} ± {np.std(energies, ddof=1):.2g}".replace("-", "−") in page.texts["td"]


def test_plots_over_each_axis_tell_their_means(plan, page):
    assert {"Over estep.n_states", "Over set"} <= set(page.texts["h3"])
    (label,) = [
        svg["aria-label"]
        for svg in page.all("svg")
        if svg["aria-label"].startswith("Mean of free_energy (nats per row) over set.")
    ]
    runs = [run for run in (*plan.runs[:3], plan.runs[4], plan.runs[6]) if run.point["estep.n_states"] == 8]
    mean = np.mean([read_run(run.folder).last("free_energy") for run in runs if run.point["set"] == "word"])
    assert re.search(rf"8: {re.escape(f'{mean:.4g}')} at word", label)


def test_what_curves_do_not_tell_apart_is_drawn_apart(tmp_path):
    plan = planned(tmp_path, "grid: {estep.n_states: [6, 8], data.n_rows: [20, 30, 40], model.n_latents: [4, 5, 6]}")
    table = collect(plan, run_states(plan, {}))
    measured = [float(run.point["estep.n_states"] * run.point["model.n_latents"]) for run in plan.runs]
    columns = table.columns | {"state": ["finished"] * len(measured), "psnr_after": np.array(measured)}
    path = tmp_path / "page.html"
    finished = ResultTable(columns, table.axes, ("psnr_after",))
    path.write_text(campaign_page(plan, run_states(plan, {}), finished, path), encoding="utf-8")
    page = Page(path)
    check(page)
    assert page.texts["figcaption"][:3] == ["psnr_after (dB)"] * 3
    assert page.texts["span"][1:4] == [f"model.n_latents: {n}" for n in (4, 5, 6)]
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert (
        "Mean of psnr_after (dB) over estep.n_states, model.n_latents: 5. 20: 30 at 6, 40 at 8; 30: 30 at 6"
        in labels[1]
    )


def test_links_lead_to_the_pages_of_runs_that_have_one(plan, page, tmp_path, capsys):
    assert not [link for link in page.all("a") if "report.html" in (link["href"] or "")]
    elsewhere = tmp_path / "a b" / "page.html"
    capsys.readouterr()
    assert cli.main(["report", str(plan.folder), "--runs", "--output", str(elsewhere)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(elsewhere)
    page = Page(elsewhere)
    check(page)
    links = {link["href"] for link in page.all("a") if not link["href"].startswith("#")}
    pages = {run.folder / "report.html" for run in plan.runs[:-1]}
    assert {(elsewhere.parent / unquote(link)).resolve() for link in links} == {path.resolve() for path in pages}
    for path in pages:
        check(Page(path))
        path.unlink()


def test_a_campaign_before_its_first_run(tmp_path):
    (tmp_path / "base.yaml").write_text(SEARCH, encoding="utf-8")
    (tmp_path / "campaign.yaml").write_text("name: new\nbase: base.yaml\ngrid: {seed: [1, 2]}\n", encoding="utf-8")
    page = tmp_path / "page.html"
    assert cli.main(["--quiet", "report", str(tmp_path / "campaign.yaml"), "--output", str(page)]) == 0
    check(Page(page))
    assert "There is nothing to plot" in Page(page).text


def test_names_are_only_names(page, tmp_path_factory):
    hostile = report(make_campaign(tmp_path_factory.getbasetemp(), HOSTILE))
    assert {element.tag for element in hostile.elements} == {element.tag for element in page.elements}
    assert len(hostile.texts["h1"]) == 1
    assert "{{ 7 * 7 }}" in hostile.text


def test_pages_of_runs_go_with_a_campaign_only(plan, capsys):
    assert cli.main(["report", str(plan.runs[0].folder), "--runs"]) == 2
    assert "--runs needs the folder or the YAML file of one" in capsys.readouterr().err
