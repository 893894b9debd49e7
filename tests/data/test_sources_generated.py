"""Bars and samples: every row is a function of seed and index, and distributed as the parameters say."""

import json
from dataclasses import dataclass

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources.bars import Bars
from prosper_ng.data.sources.image import Image
from prosper_ng.data.sources.sample import Sample
from prosper_ng.models.bsc import BSC

N_MANY = 20_000
TRUTH = {
    "W": np.random.default_rng(7).normal(size=(6, 3)).tolist(),
    "sigma": 0.5,
    "pi": [0.1, 0.3, 0.6],
}
MODEL = BSC(n_latents=3)


def sample(**changes):
    return Sample(**({"model": MODEL, "n_rows": 1000, "parameters": TRUTH} | changes))


@settings(deadline=None, max_examples=30)
@given(
    start=st.integers(0, 999),
    n_rows=st.integers(0, 600),
    n_all=st.integers(1000, 3000),
    source=st.sampled_from([Bars, sample]),
    missing=st.sampled_from([0.0, 0.3]),
)
def test_a_row_has_the_same_bits_in_every_slice_of_every_length(start, n_rows, n_all, source, missing):
    whole, longer = source(missing=missing).open(3), source(n_rows=n_all, missing=missing).open(3)
    stop = min(start + n_rows, 1000)
    rows = longer.read(start, stop)
    assert rows.flags.c_contiguous
    assert rows.tobytes() == whole.read(0, 1000)[start:stop].tobytes()


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**64 - 1),
    fewer=st.floats(0, 0.99),
    more=st.floats(0, 0.99),
    source=st.sampled_from([Bars, sample]),
)
def test_hiding_changes_nothing_else(seed, fewer, more, source):
    """What is observed has the values it has without gaps, and more gaps are the same ones and others."""
    fewer, more = sorted((fewer, more))
    plain, some, many = (source(n_rows=300, missing=missing).open(seed).read(0, 300) for missing in (0.0, fewer, more))
    assert not np.isnan(plain).any()
    for rows in (some, many):
        np.testing.assert_array_equal(rows, np.where(np.isnan(rows), np.nan, plain))
    assert (np.isnan(many) >= np.isnan(some)).all()


@pytest.mark.parametrize("source", [Bars, sample])
@pytest.mark.parametrize("missing", [0.1, 0.5, 0.99])
def test_values_are_hidden_independently_of_what_they_are_and_of_each_other(source, missing):
    plain = source(n_rows=N_MANY).open(4).read(0, N_MANY)
    hidden = np.isnan(source(n_rows=N_MANY, missing=missing).open(4).read(0, N_MANY))
    np.testing.assert_allclose(hidden.mean(axis=0), missing, atol=0.015)
    correlations = np.corrcoef(np.hstack([hidden, plain, np.roll(hidden[:, :1], 1, axis=0)]), rowvar=False)
    n_columns = plain.shape[1]
    np.testing.assert_allclose(correlations[:n_columns] - np.eye(*correlations[:n_columns].shape), 0, atol=0.04)
    other = np.isnan(source(n_rows=N_MANY, missing=missing).open(5).read(0, N_MANY))
    assert abs(np.corrcoef(hidden.ravel(), other.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("source", [Bars(), sample()])
def test_seeds_differ_and_rows_that_do_not_exist_are_refused(source):
    dataset = source.open(0)
    correlation = np.corrcoef(dataset.read(0, 1000).ravel(), source.open(1).read(0, 1000).ravel())[0, 1]
    assert correlation < 0.6
    assert not np.array_equal(dataset.read(0, 256), dataset.read(256, 512))
    with pytest.raises(IndexError, match="there are 1000"):
        dataset.read(990, 1001)


def test_every_bar_is_one_line_of_the_image():
    dataset = Bars(n_bars=12, amplitude=7.0).open(0)
    fields = dataset.truth["W"].T.reshape(12, 6, 6)
    assert dataset.row_shape == (6, 6, 1)
    for bar in range(6):
        horizontal, vertical = np.zeros((6, 6)), np.zeros((6, 6))
        horizontal[bar], vertical[:, bar] = 7, 7
        np.testing.assert_array_equal(fields[bar], horizontal)
        np.testing.assert_array_equal(fields[6 + bar], vertical)
    assert {name: value.shape for name, value in dataset.truth.items()} == {"W": (36, 12), "sigma": (), "pi": ()}
    assert (dataset.truth["sigma"], dataset.truth["pi"]) == (2.0, 0.2)


def values_of(**fields):
    """The pixels of many images without noise, and how often each value appears."""
    dataset = Bars(n_rows=N_MANY, noise=0.0, **fields).open(2)
    values, counts = np.unique(np.round(dataset.read(0, N_MANY), 9), return_counts=True)
    return dict(zip(values.tolist(), counts / counts.sum(), strict=True))


# A pixel lies in one horizontal and one vertical bar, each there with probability 0.2.
PIXELS = [
    ({}, {0: 0.64, 10: 0.32, 20: 0.04}),
    ({"superposition": "max"}, {0: 0.64, 10: 0.36}),
    ({"activity": 1.0}, {20: 1.0}),
    ({"latents": "ternary"}, {-20: 0.01, -10: 0.16, 0: 0.66, 10: 0.16, 20: 0.01}),
    (
        {"latents": "discrete", "values": (1.0, -3.0), "probabilities": (0.75, 0.25)},
        {-60: 0.0025, -30: 0.08, -20: 0.015, 0: 0.64, 10: 0.24, 20: 0.0225},
    ),
    ({"observable": "bernoulli", "amplitude": 1.0}, {0: 0.64, 1: 0.36}),
    ({"observable": "bernoulli", "amplitude": 0.5}, {0: 0.81, 1: 0.19}),
]


@pytest.mark.parametrize(("fields", "expected"), PIXELS)
def test_pixels_are_superpositions(fields, expected):
    found = values_of(**fields)
    assert found.keys() == expected.keys()
    for value, probability in expected.items():
        assert found[value] == pytest.approx(probability, abs=0.005)


def test_the_largest_magnitude_wins_where_bars_cross():
    """Bars 1, 3, 5, 7, 9 are negative: of crossing bars of one strength the horizontal one, which comes first."""
    dataset = Bars(n_rows=500, noise=0.0, negative_bars=True, superposition="max_magnitude", activity=1.0).open(0)
    image = dataset.read(0, 1).reshape(5, 5)
    np.testing.assert_array_equal(image, np.outer([10, -10, 10, -10, 10], np.ones(5)))
    signs = np.sign(dataset.truth["W"].sum(axis=0))
    np.testing.assert_array_equal(signs, [1, -1, 1, -1, 1, -1, 1, -1, 1, -1])


def test_the_slab_and_the_noise_have_the_moments_asked_for():
    fields = {"latents": "gaussian", "slab_mean": 2.0, "slab_std": 0.5, "amplitude": 3.0, "noise": 1.0}
    dataset = Bars(n_rows=N_MANY, **fields).open(1)
    rows = dataset.read(0, N_MANY)
    variance = 9 * (0.2 * (0.25 + 4) - (0.2 * 2) ** 2)
    assert rows.mean() == pytest.approx(2 * 0.2 * 2 * 3, rel=0.02)
    assert rows.var() == pytest.approx(2 * variance + 1, rel=0.02)
    np.testing.assert_array_equal(dataset.truth["mu"], np.full(10, 2.0))
    np.testing.assert_array_equal(dataset.truth["psi"], np.full(10, 0.25))


def test_binary_pixels_are_on_without_a_bar_as_often_as_noise_says():
    dataset = Bars(n_rows=N_MANY, observable="bernoulli", amplitude=0.75, noise=0.1).open(2)
    assert dataset.read(0, N_MANY).mean() == pytest.approx(1 - 0.9 * (1 - 0.2 * 0.75) ** 2, abs=0.005)
    assert set(dataset.truth) == {"W", "pi", "leak"}
    assert (dataset.truth["leak"] == 0.1).all()
    assert set(np.unique(dataset.truth["W"])) == {0.0, 0.75}


def test_probabilities_of_discrete_latents_are_known_with_0_first():
    truth = Bars(latents="discrete", values=(2.0, -1.0), probabilities=(0.25, 0.75)).open(0).truth
    np.testing.assert_allclose(truth["pi"], [0.8, 0.05, 0.15])
    np.testing.assert_allclose(Bars(latents="discrete", values=(2.0, -1.0)).open(0).truth["pi"], [0.8, 0.1, 0.1])


CONTRADICTIONS = [
    ({"superposition": "max", "latents": "ternary"}, "superposition max needs binary latents"),
    ({"superposition": "max", "negative_bars": True}, "use max_magnitude"),
    ({"slab_std": 1.0}, "slab_mean and slab_std belong to gaussian"),
    ({"values": (1.0,)}, "values and probabilities belong to discrete"),
    ({"latents": "discrete"}, "discrete latents need values"),
    ({"latents": "discrete", "values": (0.0, 1.0)}, "without 0"),
    ({"latents": "discrete", "values": (1.0, 1.0)}, "distinct"),
    ({"latents": "discrete", "values": (1.0, 2.0), "probabilities": (1.0,)}, "2 values but 1 probabilities"),
    ({"latents": "discrete", "values": (1.0, 2.0), "probabilities": (0.5, 0.6)}, "add up to 1.1"),
    ({"observable": "bernoulli"}, "amplitude is a probability, at most 1, not 10"),
    ({"observable": "bernoulli", "amplitude": 1.0}, "noise is a probability, at most 1, not 2"),
    ({"observable": "bernoulli", "amplitude": 1.0, "noise": 0.0, "latents": "ternary"}, "needs binary latents"),
    ({"observable": "bernoulli", "amplitude": 1.0, "noise": 0.0, "superposition": "max_magnitude"}, "or max"),
    ({"background": 1.0}, "background and V belong to other observables than gaussian"),
    ({"observable": "poisson"}, "observable poisson needs superposition max"),
    ({"observable": "poisson", "superposition": "max"}, "background: with observable poisson it must be"),
    ({"observable": "poisson", "superposition": "max", "background": 12.0}, "never shows above a background of 12"),
    ({"observable": "poisson", "superposition": "max", "background": 1.0, "V": 2.0}, "V is the shape of a gamma"),
    ({"observable": "gamma", "superposition": "max", "background": 1.0}, "V is the shape of a gamma"),
    ({"observable": "beta", "superposition": "max", "background": 0.1, "V": 9.0}, "amplitude: with observable beta"),
]

DRAWN = {
    "poisson": ({"amplitude": 9.0, "background": 2.0}, [2.0, 9.0]),
    "exponential": ({"amplitude": 9.0, "background": 2.0}, [4.0, 81.0]),
    "gamma": ({"amplitude": 9.0, "background": 2.0, "V": 4.0}, [1.0, 81 / 4]),
    "beta": ({"amplitude": 0.8, "background": 0.2, "V": 19.0}, [0.008, 0.008]),
    "normal": ({"amplitude": 9.0, "background": -0.0, "noise": 2.0}, [4.0, 4.0]),
    "bernoulli": ({"amplitude": 0.9, "noise": 0.1}, [0.09, 0.09]),
}
"""Fields, and the variances of a pixel without and with a bar."""


@pytest.mark.parametrize("observable", DRAWN)
def test_pixels_are_drawn_around_the_largest_of_bars_and_background(observable):
    fields, variances = DRAWN[observable]
    bars = Bars(n_bars=4, n_rows=N_MANY, activity=0.3, observable=observable, superposition="max", **fields)
    dataset = bars.open(3)
    rows, truth = dataset.read(0, N_MANY), dataset.truth
    share = 0.7**2  # no bar: each pixel is in two
    means = np.array([truth["W0"][0], truth["W"].max()])
    mean = share * means[0] + (1 - share) * means[1]
    variance = share * variances[0] + (1 - share) * variances[1] + share * (1 - share) * np.diff(means)[0] ** 2
    assert rows.mean() == pytest.approx(mean, rel=0.03)
    assert rows.var() == pytest.approx(variance, rel=0.06)


@pytest.mark.parametrize(("fields", "sentence"), CONTRADICTIONS)
def test_contradictory_fields_of_bars(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Bars(**fields)


def test_samples_have_the_moments_of_the_model():
    dataset = sample(n_rows=N_MANY).open(5)
    rows = dataset.read(0, N_MANY)
    weights, pi = np.array(TRUTH["W"]), np.array(TRUTH["pi"])
    np.testing.assert_allclose(rows.mean(axis=0), weights @ pi, atol=0.05)
    covariance = (weights * pi * (1 - pi)) @ weights.T + 0.25 * np.eye(6)
    np.testing.assert_allclose(np.cov(rows.T), covariance, atol=0.06)
    assert dataset.row_shape == (6,)
    for name, value in TRUTH.items():
        np.testing.assert_array_equal(dataset.truth[name], value)


def test_parameters_from_files_make_the_same_rows(tmp_path):
    np.savez(tmp_path / "p.npz", **TRUTH)
    with h5py.File(tmp_path / "p.h5", "w") as file:
        for name, value in TRUTH.items():
            file[f"last/{name}"] = value
    expected = sample().open(1).read(0, 1000)
    npz = sample(path=str(tmp_path / "p.npz"), parameters=None)
    hdf5 = sample(path=str(tmp_path / "p.h5"), group="last", parameters=None)
    changed = sample(path=str(tmp_path / "p.h5"), group="/last/", parameters={"sigma": 0.25})
    np.testing.assert_array_equal(npz.open(1).read(0, 1000), expected)
    np.testing.assert_array_equal(hdf5.open(1).read(0, 1000), expected)
    assert changed.open(1).truth["sigma"] == 0.25
    np.testing.assert_array_equal(changed.open(1).truth["W"], TRUTH["W"])


def test_a_number_fills_its_parameter():
    np.testing.assert_array_equal(sample(parameters=TRUTH | {"pi": 0.5}).open(0).truth["pi"], [0.5] * 3)


BAD_PARAMETERS = [
    ({"W": [[1.0, 2.0, 3.0]], "sigma": 1.0}, "needs the parameter pi: probability"),
    ({"sigma": 1.0, "pi": 0.5}, r"needs the parameter W of shape \(D, 3\), D values in a row: dictionary"),
    (TRUTH | {"W": [1.0, 2.0]}, "needs the parameter W"),
    (TRUTH | {"W": [[1.0, 2.0]]}, r"W has shape \(1, 2\), needed is \(1, 3\)"),
    (TRUTH | {"W": [[1.0, 2.0, 3.0], [1.0]]}, "W: the lists are not of equal length"),
    (TRUTH | {"W": [["a", "b", "c"]]}, "W must be a number or nested lists of numbers"),
    (TRUTH | {"sigmaa": 1.0}, "no parameter sigmaa; did you mean sigma?"),
    (TRUTH | {"sigma": -1.0}, r"parameter sigma \(.*\) must be a number of 1e-100 or more, not"),
    (TRUTH | {"pi": 1.5}, r"parameter pi \(.*\) must be a number from 1e-10 to 0.9999999999, not 1.5"),
    (TRUTH | {"sigma": float("nan")}, r"parameter sigma \(.*\) must be a number of 1e-100 or more, not"),
    (TRUTH | {"sigma": True}, "sigma must be a number"),
]


@pytest.mark.parametrize(("parameters", "sentence"), BAD_PARAMETERS)
def test_illegal_parameters(parameters, sentence):
    with pytest.raises(DataError, match=sentence):
        sample(parameters=parameters).open(0)


def test_parameters_that_files_do_not_hold(tmp_path):
    np.savez(tmp_path / "p.npz", W=TRUTH["W"], Sigma=1.0)
    with pytest.raises(DataError, match="no array 'sigma'; did you mean 'Sigma'"):
        sample(path=str(tmp_path / "p.npz"), parameters=None).open(0)
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file["last/W"] = TRUTH["W"]
    with pytest.raises(DataError, match=r"no dataset 'W' \(it has 'last/W'\)"):
        sample(path=str(tmp_path / "p.h5"), parameters=None).open(0)
    (tmp_path / "text").write_text("W = 3")
    with pytest.raises(DataError, match=r"text is neither an HDF5 nor a .npz file"):
        sample(path=str(tmp_path / "text"), parameters=None).open(0)
    with pytest.raises(ValueError, match="give path, or parameters, or both"):
        sample(parameters=None)
    with pytest.raises(ValueError, match="group says where parameters lie"):
        sample(group="last")


@dataclass(frozen=True)
class Unsampled:
    """A model without the capability to make data."""

    n_latents: int = 3
    kind: str = "unsampled"


def test_a_model_that_cannot_be_sampled_from():
    with pytest.raises(DataError, match="model unsampled cannot be sampled from"):
        sample(model=Unsampled()).open(0)


def test_the_fields_are_the_schema():
    """What a configuration says arrives in the fields, and is refused where it is out of bounds."""
    bars = TypeAdapter(Bars).validate_json('{"kind": "bars", "latents": "discrete", "values": [1, -1], "n_bars": 16}')
    assert bars == Bars(latents="discrete", values=(1.0, -1.0), n_bars=16)
    made = json.dumps({"kind": "sample", "model": {"kind": "bsc", "n_latents": 3}, "n_rows": 5, "parameters": TRUTH})
    assert TypeAdapter(Sample).validate_json(made) == sample(n_rows=5)
    image = TypeAdapter(Image).validate_json('{"image": "camera", "crop": [0, 1, 64, 32], "patch_size": [8, 4]}')
    assert image == Image(image="camera", crop=(0, 1, 64, 32), patch_size=(8, 4))
    for adapter, text in [
        (Bars, '{"n_bars": 7}'),
        (Bars, '{"n_bars": 2}'),
        (Bars, '{"n_rows": 0}'),
        (Bars, '{"activity": 0}'),
        (Bars, '{"noise": -1}'),
        (Bars, '{"missing": 1}'),
        (Bars, '{"missing": -0.1}'),
        (Sample, made.replace('"n_rows"', '"missing": 1, "n_rows"')),
        (Image, '{"image": "camera", "patch_size": 8, "missing": 1}'),
        (Image, '{"image": "camera", "patch_size": 8, "missing": 0.5, "whiten": "zca"}'),
        (Image, '{"image": "camera", "patch_size": 0}'),
        (Image, '{"image": "camera", "patch_size": 8, "stride": 0}'),
        (Image, '{"image": "camera", "patch_size": 8, "crop": [-1, 0, 5, 5]}'),
        (Image, '{"image": "camera", "patch_size": 8, "channels": "rgb"}'),
        (Image, '{"image": "camera", "patch_size": 8, "size": 3}'),
    ]:
        with pytest.raises(ValidationError):
            TypeAdapter(adapter).validate_json(text)
