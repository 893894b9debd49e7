"""What every E-step and every variation promises, over one model of each kind of latent space."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from prosper_ng.components import kind_of
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import EStep, RowArrays, Target
from prosper_ng.estep.kept_rows import require_state, row_state_of
from prosper_ng.estep.search import Search
from prosper_ng.latents.posterior import log_sum
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.models.bsc import BSC
from prosper_ng.models.dsc import DSC
from prosper_ng.models.gsc import GSC
from prosper_ng.models.mca import MCA
from prosper_ng.models.mixture import Mixture
from prosper_ng.models.noisy_or import NoisyOR
from prosper_ng.models.tsc import TSC
from prosper_ng.numerics.random_streams import stream
from prosper_ng.testing.cases import Checks, ModelCase, Skipped, assert_close, assert_that
from prosper_ng.testing.problems import crowd

CHECKS = Checks()
MODELS = (
    ModelCase(lambda n_latents: BSC(n_latents=n_latents)),
    ModelCase(lambda n_latents: TSC(n_latents=n_latents)),
    ModelCase(lambda n_latents: DSC(n_latents=n_latents, values=(-1.5, 0.0, 0.5, 2.0))),
    ModelCase(lambda n_latents: MCA(n_latents=n_latents)),
    ModelCase(lambda n_latents: GSC(n_latents=n_latents)),
    ModelCase(lambda n_latents: NoisyOR(n_latents=n_latents)),
)
"""One of each alphabet and of each way in which models answer; an E-step sees no more of a model than that."""
MIXTURES = (
    ModelCase(lambda n_components: Mixture(n_components=n_components)),
    ModelCase(lambda n_components: Mixture(n_components=n_components, noise="scalar", equal_weights=True)),
)
"""Models of a single latent with many values."""


@dataclass(frozen=True)
class EStepCase:
    """An E-step to be checked; a variation is checked as part of a search."""

    estep: EStep
    gap_left: float = 0.1
    """What share of the free energy that the first state sets lack to the best ones 25 sweeps may leave, on average."""
    models: tuple[ModelCase, ...] = MODELS

    @property
    def kind(self) -> str:
        """What the E-step is called."""
        return kind_of(self.estep)

    def targets(self, **sizes: Any) -> Iterator[Target]:
        """Rows of each model."""
        for model in self.models:
            yield crowd(model, **sizes)


def rows_for(estep: EStep, target: Target) -> RowArrays:
    """What the E-step keeps of the rows of a target."""
    n_observed = target.batch.values.shape[1]
    return estep.initial_rows(target.model, n_observed, target.batch.rows, target.activity, stream(1, "initial"))


def sets_for(estep: EStep, target: Target) -> StateSets:
    """The same memory, as those see it who keep states."""
    return StateSets(**rows_for(estep, target))


def states_are_distinct_and_right(estep: EStep, case: ModelCase) -> None:
    """No state twice in a row, and each with the log joint that the model gives for it."""
    target = crowd(case)
    found, what = estep.find(target, rows_for(estep, target)), f"{case.kind}, {kind_of(estep)}"
    for n, codes in enumerate(found.codes):
        assert_that(len(np.unique(codes, axis=0)) == len(codes), f"{what}: row {n} has a state twice")
    again = target.log_joint(np.ascontiguousarray(found.codes))
    assert_close(found.log_joint, again, 1e-12, 0.0, f"{what}: log joint of (row, state)")


def states_do_not_depend_on_company(estep: EStep, case: ModelCase) -> None:
    """A row finds its states whatever rows are in its block."""
    whole, tail = crowd(case), crowd(case, first_row=17)
    of_whole, of_tail = (estep.find(target, rows_for(estep, target)).codes for target in (whole, tail))
    same = f"{case.kind}, {kind_of(estep)}: the states of rows change with the rows beside them"
    assert_that((of_whole[17:] == of_tail).all(), same)


@CHECKS.add()
def states_are_distinct_and_their_log_joints_right(case: EStepCase) -> None:
    """For every model."""
    for model in case.models:
        states_are_distinct_and_right(case.estep, model)


@CHECKS.add()
def a_row_finds_the_same_states_in_any_company(case: EStepCase) -> None:
    """For every model."""
    for model in case.models:
        states_do_not_depend_on_company(case.estep, model)


@CHECKS.add()
def as_many_states_are_listed_and_as_much_is_kept_as_was_announced(case: EStepCase) -> None:
    """What memory is planned by, and what a checkpoint holds."""
    for target in case.targets():
        estep, model, n_observed = case.estep, target.model, target.batch.values.shape[1]
        estep.check(model)
        rows = rows_for(estep, target)
        require_state(estep, row_state_of(estep, model, n_observed), rows)
        whole = estep.with_all_states()
        found = whole.take_up(target, rows, None) if rows else whole.find(target)
        shape, said = found.codes.shape, (len(target.batch.values), estep.n_listed(model.space), model.space.words)
        assert_that(shape == said, f"{kind_of(model)}: the states have the shape {shape}, said was {said}")
        assert_that(estep.unsettled(target, found).shape == (len(found.codes),), "`unsettled` must say it of each row")


@CHECKS.add()
def free_energies_are_never_above_the_exact_ones(case: EStepCase) -> None:
    """And are those of the states that were found."""
    for target in case.targets():
        rows = rows_for(case.estep, target)
        exact = log_sum(Exhaustive().find(target, None).log_joint)
        posterior = case.estep.posterior(target, rows)
        assert_that(posterior.free_energy <= exact + 1e-9, "a free energy is above that of all states")
        listed = log_sum(case.estep.find(target, rows, vary=False).log_joint)
        assert_close(posterior.free_energy, listed, 1e-12, 1e-12, "free energy of (row,)")


@CHECKS.add()
def stored_sets_only_get_better_and_come_near_the_best(case: EStepCase) -> None:
    """Over 25 sweeps; and they stay as they are where nothing may vary."""
    for target in case.targets():
        kept = rows_for(case.estep, target)
        if set(kept) != set(StateSets._fields):
            raise Skipped(f"{case.kind} stores nothing between sweeps")
        _improve(case, target, StateSets(**kept))


def _improve(case: EStepCase, target: Target, sets: StateSets) -> None:
    estep, model = case.estep, kind_of(target.model)
    everything = np.sort(Exhaustive().find(target, None).log_joint, axis=1)
    best = log_sum(np.ascontiguousarray(everything[:, -sets.codes.shape[1] :]))
    last = log_sum(target.log_joint(sets.codes))
    first_gap = float((best - last).mean())
    if (
        estep.find(target._replace(sweep=0), sets._asdict(), vary=False).codes.shape[1] < sets.codes.shape[1]
    ):  # starts with a part of its states
        last = np.full(len(last), -np.inf)
    for sweep in range(25):
        found = estep.find(target._replace(stream=stream(1, "test", sweep), sweep=sweep), sets._asdict())
        now = log_sum(found.log_joint)
        assert_that(now >= last - 1e-9, f"{model}: sweep {sweep} lowered the free energy of a row")
        assert_that(now <= best + 1e-9, f"{model}: a free energy is above that of the best states")
        last = now
    gap = float((best - last).mean())
    assert_that(gap < case.gap_left * first_gap + 1e-9, f"{model}: a gap of {gap} is left, the first was {first_gap}")
    kept = found.codes.copy()
    frozen = estep.find(target._replace(stream=stream(1, "test", 99)), sets._asdict(), vary=False)
    assert_that((frozen.codes == kept).all(), f"{model}: states change though nothing may vary")


@CHECKS.add()
def variations_propose_as_many_states_as_they_say(case: EStepCase) -> None:
    """Each variation of a search."""
    if not isinstance(case.estep, Search):
        raise Skipped(f"{case.kind} has no variations")
    for target in case.targets():
        sets = sets_for(case.estep, target)
        sets.log_joint[...] = target.log_joint(sets.codes)
        for variation in case.estep.variations:
            said = variation.n_proposed(target.model.space, sets.codes.shape[1])
            shape, expected = variation.propose(target, sets).shape, (30, said, target.model.space.words)
            wrong = f"{kind_of(target.model)}: {kind_of(variation)} proposes {shape}, said was {expected}"
            assert_that(shape == expected, wrong)
