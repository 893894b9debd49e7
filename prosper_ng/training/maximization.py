"""The M-step of root, or of each rank for its share: totals, new parameters, noise, and whether F fell."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from prosper_ng.components import kind_of
from prosper_ng.errors import NumericalError, UserError
from prosper_ng.estep.interface import EStep
from prosper_ng.models.capabilities import learns_from_part, offers
from prosper_ng.models.interface import KnowsFreeEnergy, Model, MStep, learnable
from prosper_ng.models.rounding import SHARE, rounding_of
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.training.annealing import AnnealingPoint
from prosper_ng.training.owners import Owners
from prosper_ng.training.settings import Training
from prosper_ng.training.totals import PartTotals

_LARGE = 1e100
"""Of a parameter, so that squares of it in units of small noise may be no numbers any more."""


class Maximized(NamedTuple):
    """What the last M-step came to."""

    free_energy: float
    """F per row that was used, at temperature 1."""
    entropy_gap: float | None
    """F per row minus its value by the entropy identity, where that applies; of what the M-step learned from."""
    n_rows: float
    """Rows behind the statistics, each as often as it counts."""


class Carried(NamedTuple):
    """What those who do M-steps carry from update to update."""

    params: NamedArrays
    totals: PartTotals
    memory: NamedArrays
    """What the model remembers, which its M-step changes in place."""


class Maximization:
    """Updates of the parameters on root, or on all ranks where these share M-steps.

    The free energy of all rows, F(q, Theta) = sum_n <log p(s, y_n | Theta)>_n + entropy of q, is a function of the
    statistics where a model knows it, also of those that other parts gave earlier. So both halves of EM can be checked
    at no cost where the model has the guarantee (`is_monotone`): an M-step must not lower F, and neither must the new
    states of a part. A model that learns from one part at a time has its M-steps checked against that part alone, and
    its E-steps not at all, since what the part gave before is not kept.
    """

    def __init__(
        self, model: Model, estep: EStep, training: Training, n_observed: int, seed: int, owners: Owners,
        where: str = "",
    ) -> None:  # fmt: skip
        """`training` says what is learned, `where` begins what is said of a sweep."""
        self._owners = owners
        self.model, self.estep, self.n_observed, self.seed = model, estep, n_observed, seed
        self._where = where
        names = frozenset(learnable(model.parameters(n_observed)))
        self._learn = names if training.learn is None else frozenset(training.learn)
        self._all = names
        self._n_parts = training.updates_per_sweep
        found: Any = model
        self._knowing: KnowsFreeEnergy | None = found if offers(model, KnowsFreeEnergy) else None
        self._is_monotone = self._knowing is not None and self._knowing.is_monotone
        self._learns_from_part = learns_from_part(model)
        # Else the free energy is that of the E-steps, and can fall.
        self._is_told = self._is_monotone and not self._learns_from_part
        self._notes: list[str] = []
        self._complete: set[int] = set()
        self.n_falls = 0
        """Sweeps after which the free energy was lower, for models that do not rule it out."""
        self._last_plain: float | None = None
        self.last = Maximized(-np.inf, None, 0)

    def update(self, carried: Carried, sums: NamedArrays, sweep: int, part: int, point: AnnealingPoint) -> NamedArrays:
        """New parameters after a part gave new statistics.

        Raises NumericalError where a statistic, a parameter or what is remembered is not finite, or where the free
        energy fell although the mathematics says that it cannot.
        """
        where = f"{self._where}sweep {sweep + 1}, update {part + 1}"
        params, totals, memory = self._owners.own(carried.params), carried.totals, carried.memory
        self._check_finite("statistic", sums, where, params)
        self._check_estep(params, totals, sums, part, point, where)
        total = totals.replace(part, sums)
        if total["n"] == 0:
            raise UserError(
                f"{where}: all rows that were looked at so far have the weight 0; set fewer "
                "training.updates_per_sweep, or a larger training.annealing.row_fraction"
            )
        learned_from, own = (sums, None) if self._learns_from_part else (total, sums)
        corrected = self.estep.max_active if self.estep.corrects_prior else None
        generator = stream(self.seed, "M-step", sweep, part).generator()
        learn = self._learn - point.held
        step = MStep(learn, corrected, generator, self._notes, own, memory, self._n_parts)
        new = self.model.maximize(params, learned_from, step)
        self._check_finite("parameter", new, where, params)
        self._check_finite("remembered array", memory, where)
        # Where the statistics do not tell the free energy, it is that of the E-steps.
        free_energy, gap = float(total["free_energy"]), None
        if self._knowing is not None:
            # What a step along a gradient comes to is not in its statistics: they tell of the parameters before it.
            known = new if self._is_monotone or not self._learns_from_part else params
            expected = self._knowing.expected_log_joint(known, learned_from)
            if corrected is None and self._is_monotone:
                self._check_mstep(params, new, learned_from, expected, where)
            free_energy = expected + _entropy(total) if self._is_told else free_energy
            gap = expected / float(learned_from["n"]) + self._knowing.entropy(known, learned_from)
        applies = learn == self._all and corrected is None
        n_rows = float(total["n"])
        self.last = Maximized(free_energy / n_rows, gap if applies else None, n_rows)
        if not self._is_told and part == self._n_parts - 1:
            self._count_fall(self.last.free_energy if point.is_plain else None)
        return self._with_noise(self._owners.whole(new, carried.params), sweep, part, point)

    def take_notes(self) -> list[str]:
        """What the M-steps since the last call had to say."""
        notes, self._notes = self._notes, []
        return notes

    def _check_finite(self, what: str, arrays: NamedArrays, where: str, before: NamedArrays | None = None) -> None:
        for name, values in arrays.items():
            if not np.isfinite(values).all():
                kind = kind_of(self.model)
                raise NumericalError(f"{where}: {what} {name} of model {kind} is not finite any more{_reached(before)}")

    def _check_estep(
        self, params: NamedArrays, totals: PartTotals, sums: NamedArrays, part: int, point: AnnealingPoint, where: str
    ) -> None:
        """The stored states of a part only ever get better; so does their free energy at the same parameters."""
        if self._knowing is None or not self._is_told:
            return
        old = totals.part(part)
        comparable = part in self._complete and point.sees_all_data and self.estep.max_active is None
        self._complete.discard(part)
        if point.sees_all_data:
            self._complete.add(part)
        if old is None or not comparable:
            return
        before = self._knowing.expected_log_joint(params, old) + _entropy(old)
        rounding = partial(rounding_of, self._knowing, params, old)
        self._check_fall(before, float(sums["free_energy"]), f"{where}, E-step", rounding)

    def _check_mstep(
        self, params: NamedArrays, new: NamedArrays, total: NamedArrays, expected: float, where: str
    ) -> None:
        assert self._knowing is not None
        before = self._knowing.expected_log_joint(params, total)
        roundings = (partial(rounding_of, self._knowing, each, total) for each in (params, new))
        self._check_fall(before, expected, f"{where}, M-step", *roundings)

    def _check_fall(self, before: float, after: float, where: str, *roundings: Callable[[], float]) -> None:
        """Raise NumericalError where it fell by more than rounding, which is found only where it fell at all."""
        least = before - SHARE * max(abs(before), abs(after))
        if after < least and after < least - sum(rounding() for rounding in roundings):
            raise NumericalError(
                f"{where}: the free energy fell by {before - after:.3g} from {before:.9g}, which the mathematics "
                f"forbids for model {kind_of(self.model)}; this is a defect of its M-step or of the merge of states"
            )

    def _count_fall(self, free_energy: float | None) -> None:
        """Note where a sweep of plain EM ended lower than the one before, which an approximate M-step may cause."""
        before, self._last_plain = self._last_plain, free_energy
        if before is None or free_energy is None or free_energy >= before - SHARE * abs(before):
            return
        self.n_falls += 1
        what = "learns from one part of the data at a time" if self._learns_from_part else "is approximate"
        self._notes.append(
            f"the free energy fell by {before - free_energy:.3g} per row, for the {_ordinal(self.n_falls)} time: "
            f"the M-step of {kind_of(self.model)} {what}"
        )

    def _with_noise(self, params: NamedArrays, sweep: int, part: int, point: AnnealingPoint) -> NamedArrays:
        """Noise by the schedule; what it makes illegal is mirrored at the bounds: none piles up there."""
        for name, spec in self.model.parameters(self.n_observed).items():
            scale = point.parameter_noise.get(name, 0.0)
            if scale > 0 and name in self._learn - point.held:
                generator = stream(self.seed, f"noise on {name}", sweep, part).generator()
                noisy = params[name] + scale * generator.standard_normal(spec.shape)
                params[name] = spec.constraint.nearest(noisy)
        return params


def _reached(params: NamedArrays | None) -> str:
    """Says so where parameters have grown so large that squares of them leave double precision."""
    reached = {name: float(np.abs(values).max(initial=0.0)) for name, values in (params or {}).items()}
    name = max(reached, key=lambda name: reached[name], default="")
    if not name or reached[name] < _LARGE:
        return ""
    return f": {name} has reached {reached[name]:.3g} in magnitude, and squares of that leave double precision"


def _entropy(sums: NamedArrays) -> float:
    """Entropy of the posterior over states and over all else that is hidden."""
    return float(sums["entropy"] + sums["hidden_entropy"])


def _ordinal(n: int) -> str:
    """`1st`, `2nd`, `3rd`, `4th`, `11th`."""
    suffix = "th" if n // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"
