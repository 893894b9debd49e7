"""Every model and E-step has its papers, and `show --cite` prints those of a run."""

import re

import pytest
import yaml

from prosper_ng import __version__, cli
from prosper_ng.components import components_of, kind_of
from prosper_ng.config import load
from prosper_ng.config.mistakes import SourceText
from prosper_ng.estep.auto import Auto
from prosper_ng.estep.search import Search
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.models.bsc import BSC
from prosper_ng.report.papers import ESTEPS, MODELS, PAPERS, VARIATIONS, citation
from tests.helpers.documents import ROOT


def kinds(package):
    return {kind for kind, made in components_of(package).items() if made.__module__.startswith("prosper_ng.")}


def test_every_model_has_papers_and_every_estep_and_variation_an_entry():
    assert kinds("prosper_ng.models") == {kind for kind, keys in MODELS.items() if keys}
    assert kinds("prosper_ng.estep") - {kind_of(Auto())} == set(ESTEPS)
    assert kinds("prosper_ng.estep.variations") == set(VARIATIONS)
    used = {key for table in (MODELS, ESTEPS, VARIATIONS) for keys in table.values() for key in keys}
    assert used == set(PAPERS)


@pytest.mark.parametrize("key", PAPERS)
def test_papers_are_named_as_people_and_bibtex_name_them(key):
    paper = PAPERS[key]
    assert str(paper.year) in paper.text
    assert key[-4:] == str(paper.year)
    assert paper.place or paper.arxiv
    assert all(re.fullmatch(r"[^,]+, [^,]+", name) for name in paper.authors.split(" and "))
    entry = paper.bibtex(key)
    assert entry.count("{") == entry.count("}")
    assert re.match(rf"@(article|inproceedings|techreport){{{key},\n  author = ", entry)


def test_the_papers_of_the_citation_file_are_among_them():
    citation_file = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    known = {(paper.title, paper.year) for paper in PAPERS.values()}
    assert {(paper["title"], paper["year"]) for paper in citation_file["references"]} <= known


def test_reasons_are_told_once_for_each_paper():
    estep = load(
        SourceText("it", "name: it\ndata: {kind: bars}\nmodel: {kind: bsc, n_latents: 8}\n"
                   "estep: {kind: search, variations: [preselection, evolution]}"), RunConfig
    ).value.estep  # fmt: skip
    assert isinstance(estep, Search)
    text, _, bibtex = citation(BSC(n_latents=8), estep).partition("\n\n")
    assert "model bsc: Michael Haft, Reimar Hofman and Volker Tresp: Generative Binary Codes." in text
    assert "E-step search: Jörg Lücke: Truncated Variational Expectation Maximization. 2016, arXiv:1610.03113." in text
    assert "variation evolution: " in text
    assert bibtex.count("@") == len(text.splitlines())
    assert f"version = {{{__version__}}}" in bibtex


@pytest.mark.heavy
def test_a_run_says_what_to_cite(tmp_path, capsys):
    config = ROOT / "configs" / "runs" / "bars-bsc.yaml"
    changes = ["--set", "training={n_sweeps: 1}", "--set", "data.n_rows=30", "--set", "estep=auto"]
    assert cli.main(["run", str(config), *changes, "--output", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert cli.main(["show", str(tmp_path / "run"), "--cite"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"program: prosper_ng {__version__}")
    assert "@inproceedings{henniges2010,\n" in shown
