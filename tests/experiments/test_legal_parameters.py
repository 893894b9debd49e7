"""Parameters stay legal, whatever noise is added to them; those that are given are taken as meant or refused."""

import json

import h5py
import numpy as np
import pytest
import yaml

from prosper_ng.cli import main
from prosper_ng.models.bsc import BSC
from prosper_ng.models.capabilities import HasHeadline, ShowsElements, offers
from prosper_ng.models.glyphs import Glyphs
from prosper_ng.models.interface import Floats
from prosper_ng.models.roles import headline_of, roles_of, telling_parameter
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.run_record import RunFileError, read_run
from prosper_ng.testing import random_parameters
from tests.helpers.model_cases import instances

D, H = 5, 3
GSC = {"kind": "gsc", "n_latents": H, "noise": "full", "slab": "full"}
DSC = {"kind": "dsc", "n_latents": H, "values": [0, 1, -2]}


def rows() -> Floats:
    rng = np.random.default_rng(4)
    return rng.normal(size=(150, D)) + 2.0 * rng.integers(0, 2, (150, D))


def configured(tmp_path, model, training):
    np.save(tmp_path / "rows.npy", rows())
    config = {
        "name": "legal", "data": {"kind": "npy", "path": str(tmp_path / "rows.npy")}, "model": model,
        "estep": {"kind": "exhaustive"}, "training": {"n_sweeps": 6} | training, "output": {"figures": False},
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return tmp_path / "run.yaml"


def learn(tmp_path, model, name="run", **training):
    path = configured(tmp_path, model, training)
    assert main(["run", str(path), "--output", str(tmp_path / name), "--quiet"]) == 0
    return read_run(tmp_path / name)


@pytest.mark.parametrize("strength", [0.5, 5.0])
def test_noise_on_covariances_keeps_them_positive_definite(tmp_path, strength):
    found = learn(tmp_path, GSC, annealing={"parameter_noise": {"Sigma": strength, "Psi": strength}})
    for name in ("Sigma", "Psi"):
        assert (found.parameters[name] == found.parameters[name].T).all()
        assert np.linalg.eigvalsh(found.parameters[name])[0] > 0
    assert np.isfinite(found.history["free_energy"]).all()
    plain = learn(tmp_path, GSC, "plain")
    assert np.abs(found.parameters["Sigma"] - plain.parameters["Sigma"]).max() > 0.1 * strength


def test_noise_on_probabilities_of_values_keeps_their_sum(tmp_path):
    for shared in (True, False):
        model = DSC | {"shared_pi": shared}
        pi = learn(tmp_path, model, f"run-{shared}", annealing={"parameter_noise": {"pi": 0.5}}).parameters["pi"]
        assert pi.sum(axis=-1) == pytest.approx(np.ones(pi.shape[:-1]), rel=1e-12)
        assert pi.min() >= 1e-10


def test_a_number_for_a_covariance_is_that_times_the_identity(tmp_path):
    numbers = learn(tmp_path, GSC, "numbers", initial={"Sigma": 2.0, "Psi": 0.5})
    np.savez(tmp_path / "given.npz", Sigma=2.0 * np.eye(D), Psi=0.5 * np.eye(H))
    arrays = learn(tmp_path, GSC, "arrays", initial_file=str(tmp_path / "given.npz"))
    assert numbers.attributes["digest"] == arrays.attributes["digest"]
    assert numbers.history["free_energy"][0] < 0


def test_a_number_for_probabilities_of_values_makes_them_equal_and_arrays_count_in_proportion(tmp_path):
    digests = []
    for name, pi in (("equal", np.full(3, 1 / 3)), ("in proportion", np.full(3, 4.0))):
        np.savez(tmp_path / "given.npz", pi=pi)
        found = learn(tmp_path, DSC, name, initial_file=str(tmp_path / "given.npz"))
        digests.append(found.attributes["digest"])
    digests.append(learn(tmp_path, DSC, "number", initial={"pi": 0.2}).attributes["digest"])
    assert len(set(digests)) == 1


SINGULAR, LOPSIDED = np.ones((D, D)), np.eye(D)
LOPSIDED[0, 1] = 0.25
COVARIANCE = "(covariance of the noise) must be a symmetric positive definite matrix, not one"
REFUSED = [
    (GSC, "Sigma", 0.0, f"{COVARIANCE} with an eigenvalue of 0"),
    (GSC, "Psi", -1.0, "(covariance of the slabs) must be a symmetric positive definite matrix, not one with an eigen"),
    (GSC, "Sigma", SINGULAR, f"{COVARIANCE} with an eigenvalue of "),
    (GSC, "Sigma", LOPSIDED, f"{COVARIANCE} with 0.25 in row 0, column 1 and 0 in row 1, column 0"),
    (GSC, "Sigma", np.eye(D) * np.nan, f"{COVARIANCE} that holds nan"),
    (GSC | {"slab": "diagonal"}, "psi", 0.0, "(variances of the slabs) must be a number of 1e-200 or more, not 0"),
    (
        DSC,
        "pi",
        -0.5,
        "(probabilities of the values, 0 first) must be probabilities of 1e-10 or more that sum to 1, not",
    ),
    (DSC, "pi", np.array([1.0, 0.0, 0.0]), "that sum to 1, not 0"),
    (DSC, "sigma", -1.0, "(standard deviation of the noise) must be a number of 1e-100 or more, not -1"),
    ({"kind": "mca", "n_latents": H}, "W", -1.0, "(dictionary) must be a number of 0 or more, not -1"),
    ({"kind": "bsc", "n_latents": H}, "pi", 1.0, "must be a number from 1e-10 to 0.9999999999, not 1"),
]
SHAPES = {"pi": (H,), "W": (D, H), "psi": (H,), "sigma": (), "Sigma": (D, D), "Psi": (H, H)}


@pytest.mark.parametrize(("model", "name", "value", "sentence"), REFUSED)
def test_what_no_parameter_may_be_is_refused_wherever_it_is_given(tmp_path, capsys, model, name, value, sentence):
    array = np.broadcast_to(value, SHAPES[name])
    if np.ndim(value) == 0 and name in ("Sigma", "Psi"):
        array = value * np.eye(len(array))
    np.savez(tmp_path / "given.npz", **{name: array})
    ways = {f"training.initial_file: {name} in ": {"initial_file": str(tmp_path / "given.npz")}}
    if np.ndim(value) == 0:
        ways[f"training.initial: {name} "] = {"initial": {name: value}}
    for origin, training in ways.items():
        path = configured(tmp_path, model, training)
        assert main(["run", str(path), "--output", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err
        assert f"error: {origin}" in said
        assert sentence in said


def test_the_same_rules_hold_for_the_parameters_of_samples(tmp_path, capsys):
    parameters = {"W": np.ones((D, H)), "pi": np.full(H, 0.3), "mu": np.ones(H), "Psi": np.eye(H), "Sigma": np.eye(D)}
    np.savez(tmp_path / "given.npz", **parameters)
    given = {"initial_file": str(tmp_path / "given.npz")}
    arguments = ["sample", str(tmp_path / "run.yaml"), "--rows", "20", "--quiet", "--output"]
    for name, initial in (("as-given", {}), ("numbers", {"Sigma": 1.0, "Psi": 1.0})):
        configured(tmp_path, GSC, given | {"initial": initial})
        assert main([*arguments, str(tmp_path / f"{name}.h5")]) == 0
    with h5py.File(tmp_path / "as-given.h5") as one, h5py.File(tmp_path / "numbers.h5") as other:
        assert (one["data"][()] == other["data"][()]).all()
    configured(tmp_path, GSC, given | {"initial": {"Sigma": -1.0}})
    assert main([*arguments, str(tmp_path / "none.h5")]) == 2
    assert "Sigma (covariance of the noise) must be a symmetric positive definite" in capsys.readouterr().err


@pytest.mark.parametrize("make", instances().values(), ids=instances())
def test_roles_tell_what_reports_and_inference_look_for(make):
    model = make(H)
    params = random_parameters(model, D, np.random.default_rng(0))
    roles = roles_of(model, D)
    assert roles.get("W", "dictionary") == "dictionary"
    assert "W" in roles or offers(model, ShowsElements)
    # Of glyphs one value of pi is that of patches without any, and sigma is that of paper and dirt.
    assert roles.get("pi", "activity") == ("" if isinstance(model, Glyphs) else "activity")
    noise = [] if isinstance(model, Glyphs) else [name for name in roles if name.lower() == "sigma"]
    assert [name for name, role in roles.items() if role == "noise"] == noise
    told = telling_parameter(model)
    assert told == "W" if "W" in roles else D in params[str(told)].shape
    headline = headline_of(model, D, params)
    if offers(model, HasHeadline):
        assert headline == model.headline(params)
        return
    name = "pi" if params["pi"].ndim == 0 else "pi_mean"
    assert headline[name] == pytest.approx(np.mean(model.activity(params)), rel=1e-15)
    if "sigma" in params:
        level = (
            {"sigma": float(params["sigma"])} if params["sigma"].ndim == 0 else {"sigma_mean": params["sigma"].mean()}
        )
        assert headline.items() >= level.items()
    else:
        assert headline.keys() == {name}


class Talkative(BSC):
    """A model that says itself what people look at first."""

    def headline(self, params: NamedArrays) -> dict[str, float]:
        return {"n_silent": float((params["pi"] < 0.1).sum())}


def test_a_model_may_say_itself_what_people_look_at_first():
    params = NamedArrays.of(W=np.ones((2, 2)), sigma=1.0, pi=np.array([0.01, 0.5]))
    assert headline_of(Talkative(n_latents=2), 2, params) == {"n_silent": 1.0}


@pytest.mark.parametrize("stored", ["5", "no JSON", 3])
def test_a_damaged_headline_is_said_in_one_sentence(tmp_path, stored):
    learn(tmp_path, {"kind": "bsc", "n_latents": H})
    with h5py.File(tmp_path / "run" / "run.h5", "r+") as file:
        assert json.loads(file.attrs["headline"]) == ["sigma", "pi_mean"]
        file.attrs["headline"] = stored
    with pytest.raises(RunFileError, match="headline holds no names of columns"):
        _ = read_run(tmp_path / "run").headline
