"""Components written short: as a plain word, without a kind, by a former name, and not at all."""

import pytest

from prosper_ng.config import ConfigError, SourceText, from_mapping, load
from prosper_ng.estep.auto import Auto
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.search import Search
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.tasks.denoise import Denoise
from prosper_ng.learning.settings import LearningSettings

BASE = "name: a\ndata: {kind: bars, n_rows: 20}\nmodel: {kind: bsc, n_latents: 8}\n"


def loaded(text, *overrides):
    return load(SourceText("run.yaml", BASE + text), RunConfig, overrides)


def test_a_component_that_needs_no_settings_may_be_a_plain_word():
    config = loaded("estep: exhaustive\ntask: denoise\n").value
    assert (config.estep, config.task) == (Exhaustive(), Denoise())
    variations = loaded("estep: {kind: search, variations: [preselection, neighborhood]}\n").value.estep.variations
    assert [variation.kind for variation in variations] == ["preselection", "neighborhood"]


def test_the_estep_may_be_left_out_and_is_then_auto():
    assert loaded("").value.estep == Auto()
    assert loaded("").lasting == loaded("estep: auto").lasting == loaded("estep: {kind: auto}").lasting


def test_settings_without_a_kind_are_those_of_the_default():
    assert loaded("estep: {n_states: 7}\n").value.estep == Auto(n_states=7)
    found = loaded("", "estep.n_states=7")
    assert found.value.estep == Auto(n_states=7)
    assert (found.origins["estep.kind"], found.origins["estep.n_states"]) == ("default", "--set estep.n_states=7")


def test_overrides_reach_into_a_component_that_is_a_plain_word():
    config = loaded("estep: {kind: search, variations: [preselection]}\n", "estep.variations.0.max_active=2").value
    assert config.estep.variations[0].max_active == 2
    assert loaded("task: denoise\n", "task.every=3").value.task == Denoise(every=3)
    assert loaded("task: denoise\n", "estep=exhaustive").value.estep == Exhaustive()


def test_former_names_are_words_too():
    variation = loaded("estep: {kind: search, variations: [neighbourhood]}\n").value.estep.variations[0]
    assert variation.kind == "neighborhood"


def test_what_is_resolved_says_the_same_when_it_is_read_again():
    found = loaded("estep: exhaustive\n")
    assert found.resolved["estep"] == {"kind": "exhaustive"}
    assert from_mapping(found.resolved, RunConfig).value == found.value


def test_settings_made_in_python_take_words():
    settings = LearningSettings(model={"kind": "bsc", "n_latents": 3}, estep="exhaustive")
    assert settings.estep == Exhaustive()
    assert LearningSettings(model={"kind": "bsc", "n_latents": 3}).estep == Auto()
    assert Search(variations=["neighborhood"]).variations[0].kind == "neighborhood"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("estep: serch", "run.yaml:4:8: error: unknown kind `serch` of `estep`; did you mean `search`?"),
        (
            "estep: 3",
            "must be a kind, one of amortized, auto, clusters, exhaustive, gaussian, preselection, search, or",
        ),
        ("estep: {kind: search, variations: [7]}", "`estep.variations.0` must be a kind"),
        ("task: {every: 3}", "`every` is a field of kind clean, kind denoise, kind restore"),
        ("estep: null", "`estep` must be a kind, one of amortized"),
    ],
)
def test_what_is_no_component_is_told_where_it_stands(text, sentence):
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert sentence in str(caught.value)


def test_a_component_that_needs_settings_says_which():
    with pytest.raises(ConfigError) as caught:
        load(SourceText("run.yaml", "name: a\ndata: bars\nmodel: bsc\n"), RunConfig)
    assert "run.yaml:3:1: error: `model` (bsc) needs the field `n_latents`" in str(caught.value)
