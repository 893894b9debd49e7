"""Glyphs beside sums over all their states and masks, and what is learned of them."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.latents.index_space import NO_STATE
from prosper_ng.models.glyphs import Glyphs
from prosper_ng.testing import ModelCase, parametrize_with_checks, random_parameters
from prosper_ng.testing.problems import batch_of_observed, exact, statistics, target_of


def places(model, D, code):
    """The glyph of a state, and which of its pixels meets which of the patch; None of a patch without glyph."""
    down, across = model.shifts
    c, x = divmod(int(code), down * across)
    if c == model.n_components:
        return None, {}
    width = model.layout(D).width
    down, across = x // across - down // 2, x % across - across // 2
    found = {}
    for i in range(D):
        row, column = i // width + down, i % width + across
        if row >= 0 and 0 <= column < width and row * width + column < D:
            found[row * width + column] = i
    return c, found


def prior(model, params, states):
    """(S,) log p(c, x)."""
    pi, codes = params["pi"] / params["pi"].sum(), states[:, 0].astype(int)
    c = codes // model.n_positions
    return np.where(c < model.n_components, np.log(pi[c] / model.n_positions), np.log(pi[-1]))


def densities(params, y, c, i):
    """Of a pixel y, by pixel i of glyph c, and by the background."""
    of_background = params["rho"] / params["rho"].sum() @ stats.norm.pdf(y, params["B"], params["sigma"])
    return stats.norm.pdf(y, params["W"][i, c], params["S"][i, c]), of_background


def log_joint(model, params, values, states, observed):
    """(n, S) log p(c, x, y): masks are summed out pixel by pixel."""
    found = np.tile(prior(model, params, states), (len(values), 1))
    for s, code in enumerate(states[:, 0]):
        c, pixels = places(model, values.shape[1], code)
        for n, d in zip(*np.nonzero(observed), strict=True):
            y = values[n, d]
            if d in pixels:
                alpha = params["alpha"][pixels[d], c]
                of_glyph, of_background = densities(params, y, c, pixels[d])
                found[n, s] += np.log(alpha * of_glyph + (1 - alpha) * of_background)
            else:
                found[n, s] += np.log(densities(params, y, 0, 0)[1])
    return found


def case(**options):
    return ModelCase(lambda n: Glyphs(n_components=n, **options), log_joint, prior)


CASES = {
    "glyphs": case(positions=(2, 3), width=2),
    "glyphs-in-a-row": case(positions=(1, 3), width=10, n_background=3),
    "glyphs-that-stay": case(positions=1, width=1, n_background=1),
}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


SMALL = Glyphs(n_components=2, positions=(2, 2), width=2)


def drawn(n_rows, D=6, seed=0, model=SMALL):
    rng = np.random.default_rng(seed)
    params = random_parameters(model, D, rng)
    return params, model.sample(params, n_rows, rng)[0]


def test_log_joints_are_sums_over_all_masks():
    params, values = drawn(5)
    target, codes, _ = exact(SMALL, params, values)
    found = target.log_joint(codes)
    for (n, s), value in np.ndenumerate(found):
        c, pixels = places(SMALL, 6, codes[n, s, 0])
        total = 0.0
        for mask in product((0, 1), repeat=len(pixels)):
            on = dict(zip(pixels, mask, strict=True))
            p = 1.0
            for d in range(6):
                is_on = on.get(d, 0)
                if d in pixels:
                    alpha = params["alpha"][pixels[d], c]
                    p *= alpha if is_on else 1 - alpha
                of_glyph, of_background = densities(params, values[n, d], c or 0, pixels.get(d, 0))
                p *= of_glyph if is_on else of_background
            total += p
        prior_of_state = prior(SMALL, params, codes[n, s : s + 1].astype(float))[0]
        assert value == pytest.approx(np.log(total) + prior_of_state, rel=1e-10)


def test_predictions_are_glyphs_where_masks_have_them():
    params, values = drawn(8)
    observed = np.random.default_rng(1).random(values.shape) < 0.7
    target, codes, posterior = exact(SMALL, params, values, observed)
    found = SMALL.reconstruct(target.prepared, target.projected, codes, posterior.weights)
    background = params["rho"] @ params["B"] / params["rho"].sum()
    expected = np.full(values.shape, background)
    for (n, s), weight in np.ndenumerate(posterior.weights):
        c, pixels = places(SMALL, 6, codes[n, s, 0])
        for d, i in pixels.items():
            r = params["alpha"][i, c]
            if observed[n, d]:
                of_glyph, of_background = densities(params, values[n, d], c, i)
                r = r * of_glyph / (r * of_glyph + (1 - r) * of_background)
            expected[n, d] += weight * r * (params["W"][i, c] - background)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_states_are_alike_that_show_alike():
    params, _ = drawn(1)
    states = np.arange(SMALL.space.n_states)
    found = SMALL.likeness(SMALL.prepare(params), states, states)
    shown = np.zeros((len(states), 6))
    for state in states:
        c, pixels = places(SMALL, 6, state)
        for d, i in pixels.items():
            background = params["rho"] @ params["B"] / params["rho"].sum()
            shown[state, d] = params["alpha"][i, c] * (params["W"][i, c] - background)
    squares = np.square(shown[:, None] - shown).sum(axis=2)
    np.testing.assert_allclose(found, -0.5 * squares / np.square(params["unit"]), atol=1e-9)


def test_no_state_has_no_probability_and_adds_nothing():
    params, values = drawn(7)
    target = target_of(SMALL, params, batch_of_observed(values))
    codes = np.full((7, 2, 1), NO_STATE)
    codes[:, 0] = 1
    assert (target.log_joint(codes)[:, 1] == -np.inf).all()
    weights = np.repeat([[1.0, 0.0]], 7, axis=0)
    alone = statistics(target, np.ascontiguousarray(codes[:, :1]), weights[:, :1])
    assert statistics(target, codes, weights).buffer.tobytes() == alone.buffer.tobytes()


def test_patches_that_are_no_squares_need_a_width():
    with pytest.raises(UserError, match="needs the `width` of patches of 6 pixels, which are no squares"):
        prosper_ng.learn(np.eye(6), Glyphs(n_components=2), progress=False)


def hidden_glyphs(seed, n_rows=600):
    """Four random glyphs of 5 x 5 pixels in patches of 10 x 10, and which is in which."""
    rng = np.random.default_rng(seed)
    glyphs = 255.0 * (rng.random((4, 5, 5)) < 0.5)
    c, tops, lefts = rng.integers(4, size=n_rows), *rng.integers(6, size=(2, n_rows))
    values = 60 + 25 * rng.standard_normal((n_rows, 10, 10))
    for n in range(n_rows):
        window = values[n, tops[n] : tops[n] + 5, lefts[n] : lefts[n] + 5]
        window[...] = glyphs[c[n]] + 10 * rng.standard_normal((5, 5))
    return values.reshape(n_rows, 100), c


def learned(values, n_sweeps=20, training=None, **options):
    model = Glyphs(n_components=4, positions=9, n_background=1)
    settled = {"n_sweeps": n_sweeps} | (training or {})
    return prosper_ng.learn(values, model, training=settled, progress=False, **options)


def test_units_and_offsets_change_the_free_energy_by_the_jacobian():
    values = np.round(1024 * hidden_glyphs(0, 100)[0]) / 1024
    plain, other = (learned(each, 6).history["free_energy"] for each in (values, 1024 * values + 2.0**30))
    assert other + 100 * np.log(1024) == pytest.approx(plain, rel=1e-7)


def test_in_parts_with_gaps_and_some_states_the_free_energy_rises():
    values, _ = hidden_glyphs(1, 200)
    values[np.random.default_rng(1).random(values.shape) < 0.1] = np.nan
    training = {"updates_per_sweep": 2, "block_rows": 32}
    found = learned(values, 10, training, missing=True, estep={"kind": "clusters", "n_near": 20})
    assert (np.diff(found.history["free_energy"]) > -1e-9).all()
    assert found.history["free_energy"][-1] > found.history["free_energy"][0] + 10


def test_any_number_of_ranks_learns_the_same_bits():
    values, _ = hidden_glyphs(2, 150)
    one, other = (learned(values, 4, {"block_rows": 32}, n_jobs=n_jobs) for n_jobs in (1, 3))
    for name, each in one.params.items():
        assert each.tobytes() == other.params[name].tobytes(), name


@pytest.mark.slow
def test_glyphs_are_told_apart_in_7_of_10_seeds():
    n_pure = 0
    for seed in range(10):
        values, c = hidden_glyphs(200 + seed)
        found = learned(values, 40, {"restarts": 6}, seed=seed)
        own = found.posterior(values).states.reshape(-1).astype(int) // 81
        shares = [np.bincount(c[own == each]).max() for each in np.unique(own)]
        n_pure += sum(shares) > 0.99 * len(c)
    assert n_pure >= 7
