"""Maximal causes of every observable beside their plain definition, and what is known of them."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

import prosper_ng
from prosper_ng.cli import main
from prosper_ng.components import components_of
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.search import Search
from prosper_ng.models.ef_mca import EFMCA
from prosper_ng.models.interface import Moments, MStep
from prosper_ng.models.roles import elements_shown
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.ordered_means import ascending
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.storage.run_record import read_run
from prosper_ng.testing import ModelCase, parametrize_with_checks
from prosper_ng.testing.problems import exact, moments_of, random_parameters
from prosper_ng.training.em import Problem
from tests.helpers.all_commands import made_by_all_commands
from tests.helpers.em_problems import train
from tests.models.test_bsc import prior

OBSERVABLES = components_of("prosper_ng.observables")

DISTRIBUTIONS = {
    "bernoulli": lambda W, V: stats.bernoulli(W),
    "beta": lambda W, V: stats.beta(W * V, (1 - W) * V),
    "exponential": lambda W, V: stats.expon(scale=W),
    "gamma": lambda W, V: stats.gamma(V, scale=W / V),
    "normal": lambda W, V: stats.norm(W, np.sqrt(V)),
    "poisson": lambda W, V: stats.poisson(W),
}
"""SciPy's, by mean and second parameter."""


def distribution(model, params, states):
    """That of each entry (S, D) given states (S, H)."""
    means = np.concatenate([params["W0"][None], params["W"].T])
    shown = np.concatenate([np.ones((len(states), 1)), states], axis=1)
    winner = np.argmax(np.where(shown[:, :, None] > 0, means, -np.inf), axis=1)
    W = np.take_along_axis(means, winner, axis=0)
    V = None
    if "V" in params:
        V = np.take_along_axis(np.concatenate([params["V0"][None], params["V"].T]), winner, axis=0)
    return DISTRIBUTIONS[model.observable.kind](W, V)


def mean(model, params, states):
    """(S, D) the largest mean."""
    return distribution(model, params, states).mean()


def variance(model, params, states):
    """(S, D) that of SciPy."""
    return distribution(model, params, states).var()


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y)."""
    found = distribution(model, params, states)
    log_p = found.logpmf if hasattr(found.dist, "pmf") else found.logpdf
    safe = np.where(observed, values, model.support.nearest(0.5))[:, None]
    return np.where(observed[:, None], log_p(safe), 0.0).sum(axis=-1) + prior(model, params, states)


def case(observable, **options):
    return ModelCase(
        lambda n_latents: EFMCA(n_latents=n_latents, observable=OBSERVABLES[observable](), **options),
        log_joint, prior, mean, variance,
    )  # fmt: skip


CASES = {"ef_mca-poisson": case("poisson"), "ef_mca-normal": case("normal", shared_pi=True)}
OTHERS = {f"ef_mca-{kind}": case(kind) for kind in ("bernoulli", "beta", "exponential", "gamma")}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


@pytest.mark.slow
@parametrize_with_checks(OTHERS)
def test_contract_of_other_observables(check):
    check()


def bars(observable, n_rows=200, seed=1, **changes):
    """A model of four latents, its true parameters, and rows of 2 x 2 pixels."""
    model = EFMCA(n_latents=4, observable=OBSERVABLES[observable](), **changes)
    rng = np.random.default_rng(seed)
    W = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]], float).T * 8 + 1
    params = {"W": W, "W0": np.ones(4), "pi": np.full(4, 0.3)}
    if model.observable.second is not None:
        params |= {"V": np.full((4, 4), 2.0), "V0": np.full(4, 2.0)}
    truth = NamedArrays.of(**params)
    values, _ = model.sample(truth, n_rows, rng)
    return model, truth, values


def brute_force(params, values, observed):
    """What each cause wins of each entry, and of T = y, over all states."""
    states = np.array(list(product((0, 1), repeat=params["W"].shape[1])))
    means = np.concatenate([params["W0"][:, None], params["W"]], axis=1)
    A, A_y = np.zeros(means.shape), np.zeros(means.shape)
    joint = log_joint(EFMCA(n_latents=4, observable=OBSERVABLES["poisson"]()), params, values, states, observed)
    weights = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    for (n, row), (s, state), d in product(enumerate(values), enumerate(states), range(values.shape[1])):
        if observed[n, d]:
            causes = [j for j in range(means.shape[1]) if j == 0 or state[j - 1]]
            winner = max(causes, key=lambda j, d=d: means[d, j])
            A[d, winner] += weights[n, s]
            A_y[d, winner] += weights[n, s] * row[d]
    return A, A_y


def test_what_each_cause_wins_is_what_all_states_come_to():
    model, truth, values = bars("poisson", n_rows=25)
    observed = np.random.default_rng(2).random(values.shape) < 0.7
    sums = exact(model, truth, values, observed).sums
    A, A_y = brute_force(truth, values, observed)
    assert sums["A"] == pytest.approx(A)
    assert sums["A_y"] == pytest.approx(A_y)
    new = model.maximize(truth, sums, MStep(frozenset(truth)))
    expected = np.divide(A_y, A, out=np.column_stack([truth["W0"], truth["W"]]), where=A > 0)
    assert new["W"] == pytest.approx(expected[:, 1:])
    assert new["W0"] == pytest.approx(expected[:, 0])


@pytest.mark.parametrize("observable", ["poisson", "normal", "gamma", "exponential"])
def test_with_their_order_kept_means_never_lower_the_free_energy(observable):
    model, _, values = bars(observable, order="kept")
    rng = np.random.default_rng(3)
    params = model.initial(moments_of(values), rng)
    last = -np.inf
    for sweep in range(30):
        order = ascending(np.column_stack([params["W0"], params["W"]]))
        found = exact(model, params, values)
        free_energy = float(found.posterior.free_energy.sum())
        assert free_energy >= last - 1e-9 * abs(last), f"sweep {sweep}"
        last = free_energy
        new = model.maximize(params, found.sums, MStep(frozenset(params)))
        means = np.column_stack([new["W0"], new["W"]])
        assert (np.diff(np.take_along_axis(means, order, axis=1), axis=1) >= -1e-12 * np.abs(means).max()).all()
        best = model.expected_log_joint(new, found.sums)
        for _ in range(5):  # other means of the same order are no better
            other = new.copy()
            moved = np.sort(means * (1 + 0.05 * rng.standard_normal(means.shape)), axis=1)
            moved = np.clip(moved, model.observable.mean.low, model.observable.mean.high)
            moved = np.take_along_axis(moved, np.argsort(order, axis=1), axis=1)
            other["W0"], other["W"] = moved[:, 0], moved[:, 1:]
            assert model.expected_log_joint(other, found.sums) <= best + 1e-9 * abs(best)
        params = new


@pytest.mark.parametrize("learned", [{"W"}, {"W0"}, {"V"}, {"V0", "W"}, {"pi"}])
@pytest.mark.parametrize("order", ["free", "kept"])
def test_what_is_not_learned_stays(learned, order):
    model, _, values = bars("gamma", order=order)
    params = random_parameters(model, 4, np.random.default_rng(4))
    new = model.maximize(params, exact(model, params, values).sums, MStep(frozenset(learned)))
    for name in set(params) - learned:
        assert (new[name] == params[name]).all(), name
    assert all((new[name] != params[name]).any() for name in learned)


@pytest.mark.parametrize("offset", [0.0, 2.0**24])
@pytest.mark.parametrize("factor", [1.0, 2.0**40, 2.0**-40])
def test_an_offset_moves_the_means_and_a_unit_multiplies_them(offset, factor):
    def learned(offset, factor):
        model, _, values = bars("normal")
        values = np.round(values * 1024) / 1024
        units = np.array([1.0, factor, 1.0, 1 / factor])
        moved = (values + offset) * units
        moments = Moments(len(values), moved.mean(axis=0), np.var(values, axis=0) * units**2)
        params = model.initial(moments, np.random.default_rng(5))
        problem = Problem(model, Search(n_states=8), moved, RowBlocks(len(values), 16, 2), SerialCommunicator(), 0)
        state, reports = train(problem, params, 15)
        return reports[-1].free_energy, state.params, units

    expected, known, _ = learned(0.0, 1.0)
    found, params, units = learned(offset, factor)
    assert found == pytest.approx(expected, abs=1e-5)
    assert params["W"] / units[:, None] - offset == pytest.approx(known["W"], abs=1e-5)
    assert params["V"] / units[:, None] ** 2 == pytest.approx(known["V"], rel=1e-4)


@pytest.mark.parametrize("offset", [1e6, 2.0**36])
def test_a_learned_model_knows_rows_far_from_zero(offset):
    _, _, values = bars("normal")
    model = {"kind": "ef_mca", "observable": "normal", "n_latents": 4}
    near, far = (
        prosper_ng.learn(np.round(values * 1024) / 1024 + each, model, estep="exhaustive", training={"n_sweeps": 10})
        for each in (0.0, offset)
    )
    rows = np.round(values[:20] * 1024) / 1024
    assert far.free_energy(rows + offset) == pytest.approx(near.free_energy(rows), abs=1e-2)
    assert far.posterior(rows + offset).means == pytest.approx(near.posterior(rows).means, abs=1e-2)


def test_a_latent_that_wins_one_row_learns_no_variance_of_zero():
    model, _, values = bars("normal")
    params = model.initial(moments_of(values), np.random.default_rng(0))
    problem = Problem(
        model, Exhaustive(), np.repeat(values[:3], 40, axis=0), RowBlocks(120, 16), SerialCommunicator(), 0
    )
    state, reports = train(problem, params, 30)
    assert (state.params["V"] >= 0.999e-6 * params["spread"][:, None] ** 2).all()
    assert np.isfinite([each.free_energy for each in reports]).all()


def test_an_element_shows_above_the_background_only():
    shown = elements_shown(
        {"W": np.array([[3.0, -9.0]]), "W0": np.array([1.0])}, {"dictionary": "W", "background": "W0"}.get
    )
    assert (shown == [[3.0, 1.0]]).all()


@pytest.mark.parametrize(
    ("observable", "value", "needs"),
    [
        ("poisson", 2.5, "counts 0, 1, 2, ..."),
        ("poisson", -1.0, "counts 0, 1, 2, ..."),
        ("bernoulli", 2.0, "0 or 1"),
        ("exponential", -0.5, "a number of 0 or more"),
        ("gamma", 0.0, "a number above 0"),
        ("beta", 1.0, "a number above 0 and below 1"),
        ("beta", 0.0, "a number above 0 and below 1"),
    ],
)
def test_values_that_an_observable_cannot_have_are_refused(observable, value, needs, tmp_path, capsys):
    rows = np.full((20, 3), 1.0 if observable not in ("beta",) else 0.5)
    rows[7, 2] = value
    np.save(tmp_path / "rows.npy", rows)
    text = f"""
name: refused
data: {{kind: npy, path: {tmp_path / "rows.npy"}}}
model: {{kind: ef_mca, observable: {observable}, n_latents: 3}}
"""
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    assert main(["run", str(tmp_path / "run.yaml"), "--output", str(tmp_path / "run"), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert (
        f"row 7, column 2 (counted from 0) is {value:g}; model ef_mca with observable {observable} needs {needs}"
        in said
    )


CONFIG = """
name: small
seed: 3
data: {kind: bars, n_bars: 6, n_rows: 120, observable: poisson, superposition: max, background: 1, missing: 0.1}
model: {kind: ef_mca, observable: poisson, n_latents: 8}
estep: {kind: search, n_states: 12}
training: {n_sweeps: 20, updates_per_sweep: 2}
"""


def test_all_commands_know_it(tmp_path):
    model = EFMCA(n_latents=8, observable=OBSERVABLES["poisson"]())
    made = made_by_all_commands(CONFIG, tmp_path, model, log_joint, "--adaptive")
    known = ~np.isnan(made.values)
    assert made.results["means"] == pytest.approx(made.weights @ made.states, abs=1e-9)
    assert (made.results["filled"][known] == made.values[known]).all()
    expected = made.weights @ mean(model, made.params, made.states)
    assert made.results["prediction"] == pytest.approx(expected, rel=1e-6)
    assert (made.results["data"] == np.floor(made.results["data"])).all()
    assert made.results["data"].mean() == pytest.approx(np.nanmean(made.values), rel=0.1)


GEOMETRIC = """
import numpy as np
import prosper_ng
from prosper_ng.numerics.constraints import COUNTS, interval


@prosper_ng.plugin("observables", kind="geometric")
class Geometric:
    support, mean, second, meaning, statistics, shifts = COUNTS, interval(1e-9, np.inf), None, "", ("y",), False

    def T(self, values):
        return values[None]

    def base(self, values):
        return np.zeros(values.shape)

    def natural(self, W, V):
        return (np.log(W) - np.log1p(W))[None], np.log1p(W)

    def mean_T(self, W, V):
        return W[None]

    def solve(self, mean_T, W, V, learn):
        return (np.maximum(mean_T[0], 1e-9) if "W" in learn else W), None

    def pooling(self, V):
        return np.asarray(1.0)

    def initial_V(self, variance):
        return np.empty(0)

    def draw(self, W, V, rng):
        return rng.geometric(1 / (1 + W)).astype(float) - 1
"""


def test_an_observable_of_ones_own_is_a_class_with_these_functions(tmp_path, capsys):
    (tmp_path / "geometric.py").write_text(GEOMETRIC, encoding="utf-8")
    text = CONFIG.replace("model: {kind: ef_mca, observable: poisson", "model: {kind: ef_mca, observable: geometric")
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    arguments = [
        "run",
        str(tmp_path / "config.yaml"),
        "--output",
        str(tmp_path / "run"),
        "--set",
        "output.figures=false",
    ]
    assert main([*arguments, "--import", str(tmp_path / "geometric.py")]) == 0
    entropy_gap = read_run(tmp_path / "run").history["entropy_gap"][-1]
    assert abs(entropy_gap) < 1e-9
    assert main([*arguments[:3], str(tmp_path / "without"), "--quiet"]) == 2
    assert "unknown kind `geometric` of `model.observable`" in capsys.readouterr().err
