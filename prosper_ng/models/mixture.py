"""Mixtures of any observable: c ~ pi, y_d ~ p(.; W_dc, V_dc).

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, C) | mean of each entry in each component |
| V | (D, C) | second parameter of observables that have one: variance, shape, concentration |
| sigma | () | noise of all entries and components, in the place of V, with `noise: scalar` |
| pi | (C,) | probability of each component; none with `equal_weights` |
| R | (C, K) | probability of each class in each component, with `n_classes` |

With T the sufficient statistics of the observable, log p(y_d; W, V) = sum_l eta_l T_l(y_d) - A + base(y_d), and

    pi_c = sum_n q_nc / N,    mean of T in c  =  sum_n q_nc T(y_nd) / sum_n q_nc,    W and V by what the observable
    makes of it,    sigma² = sum_nc q_nc |y_n - W_c|² / N D

is the exact maximum (Dempster, Laird and Rubin 1977). Equal weights, scalar noise and one state a row are k-means: then
F / N = -log C - D/2 log(2 pi e sigma²) with sigma² its mean squared error (Lücke and Forster, arXiv 1704.02812). A
multinomial is a Poisson mixture of rows that sum to 1 or to any other number, the same for all.

Only observed entries enter the sums. The identity is that of Lücke and Warnken (arXiv 2209.03077), with the mean of the
base over the data in place of its expectation.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import OneOf, component, kind_of
from prosper_ng.models._classes import ClassLabels, add_labels, add_log_classes
from prosper_ng.models._components import LEAST_SHARE, ComponentPrior
from prosper_ng.models._mixture import (
    Prepared,
    Projected,
    add_counts,
    add_means,
    add_rows,
    fill_gaussian,
    fill_natural,
    laid_out,
    scatter,
)
from prosper_ng.models._mixture_start import first_components, first_with_labels
from prosper_ng.models.interface import (
    SCALE,
    SMALLEST_SCALE,
    Batch,
    Codes,
    Floats,
    Identity,
    Moments,
    MStep,
    ParameterSpec,
)
from prosper_ng.numerics.constraints import POSITIVE, REAL, Constraint
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.sharing import own_among, row_sums, total
from prosper_ng.numerics.vectors import padded
from prosper_ng.observables.interface import Observable, pseudo_entropy
from prosper_ng.observables.normal import Normal

_LEAST_SPREAD = 1e-3
"""Standard deviations of a component, in units of those of the data: a component of one row would learn 0."""
_EPS = float(np.finfo(float).eps)
_LEAST_SIGMA = 1e-6
"""The same of the noise that all components share."""


@component
class Mixture(ComponentPrior, ClassLabels):
    """Components of which each row is one, seen through any observable."""

    n_components: Annotated[int, Gt(0)]
    """C, the number of components."""
    observable: Annotated[Observable, OneOf("prosper_ng.observables")] = Normal()
    """The distribution of an entry: normal, poisson, bernoulli, exponential, gamma or beta."""
    noise: Literal["scalar", "diagonal"] = "diagonal"
    """Of `normal`: one standard deviation sigma for all, or a variance for each entry of each component."""
    equal_weights: bool = False
    """Whether all components are equally probable; with scalar noise and one state a row this is k-means."""
    unused: Literal["keep", "redraw"] = "keep"
    """What becomes of a component that no row belongs to."""
    n_classes: Annotated[int, Gt(1)] | None = None
    """K, the number of classes of which labels tell, 0 to K - 1; none where rows have no labels."""

    is_monotone = True
    """The M-step is the maximum."""
    identity: ClassVar[Identity] = "after M-step"
    """Of a maximum that is known."""
    weighs_rows = True
    """All statistics are sums over rows, each as often as it counts."""
    axes_by_value: ClassVar[Mapping[str, int]] = MappingProxyType({"W": 1, "V": 1, "R": 0})
    """Of the parameters that each component has for itself."""

    def __post_init__(self) -> None:
        """Raise ValueError where the observable has no noise to share."""
        if self.noise == "scalar" and not isinstance(self.observable, Normal):
            raise ValueError(
                f"noise: scalar is one standard deviation of observable normal; {kind_of(self.observable)} has none; "
                "leave it out"
            )

    @property
    def support(self) -> Constraint:
        """That of the observable."""
        return self.observable.support

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, V or sigma, pi, as far as there are these; and what values are measured from and in."""
        shape = (n_observed, self.n_components)
        specs = {"W": ParameterSpec(shape, self.observable.mean, "mean of each component", "dictionary")}
        if self.noise == "scalar":
            specs["sigma"] = ParameterSpec((), SCALE, "standard deviation of the noise", "noise")
        elif self.observable.second is not None:
            specs["V"] = ParameterSpec(shape, self.observable.second, f"{self.observable.meaning} of each component")
        specs |= self._pi_spec() | self._class_specs()
        if self.observable.shifts:
            specs["center"] = ParameterSpec((n_observed,), REAL, "what data are measured from", constant=True)
            shape_of_unit = () if self.noise == "scalar" else (n_observed,)
            specs["unit"] = ParameterSpec(shape_of_unit, POSITIVE, "what data are measured in", constant=True)
        return specs

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """How many rows each component has, how much of these is missing, and their sums of T."""
        shape: Shape = (self.n_components, n_observed)
        sums = {name: () if self.noise == "scalar" and name == "T_y_y" else shape for name in self._of_T}
        fixed = {"n": (), "hidden_entropy": (), "base": (), "counts": (self.n_components,), "gaps": shape}
        return fixed | sums | self._class_statistics()

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Rows that are far from each other, by greedy k-means++; what they leave unexplained is the noise.

        Those with labels come first, of each class.
        """
        own_units = self.noise == "diagonal"
        first = first_with_labels(moments, self.n_components, own_units, rng)
        W, squares = first_components(moments, self.n_components, self.observable.mean, own_units, rng, first)
        params: dict[str, Any] = {"W": W.T} | self._initial_pi() | self._initial_classes(moments.labels[first])
        if self.noise == "scalar":
            params["sigma"] = np.sqrt(np.mean(squares))
        elif self.observable.second is not None:
            params["V"] = np.repeat(self.observable.initial_V(squares)[:, None], self.n_components, axis=1)
        if self.observable.shifts:
            spread = moments.spreads if own_units else moments.spread
            params |= {"center": moments.centers, "unit": 2.0 ** np.round(np.log2(spread))}
        return NamedArrays.of(**params)

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Tables by components."""
        W, V = self._scaled(params)
        (center, unit), log_pi = self._measure(params), np.log(self.activity(params))
        if isinstance(self.observable, Normal):
            assert V is not None
            own = V[:1] if self.noise == "scalar" else V
            logs = -0.5 * np.log(2 * np.pi * own) - np.log(unit)
            tables = tuple(laid_out(each[None]) for each in (W, 0.5 / own, logs))
            constants, expected = log_pi + logs.sum(axis=1), np.empty((0, 0))
        else:
            eta, A = self.observable.natural(W, V)
            A, expected = A + np.log(unit), laid_out(self.observable.mean_T(W, V))
            tables = (laid_out(np.concatenate([eta, -A[None]])),)
            constants = log_pi - A.sum(axis=1)
        W, log_R = np.ascontiguousarray(params["W"].T), self._log_R(params)
        return Prepared(center, unit, W, log_pi, constants, tables, log_R, expected)

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """Values from the center, in units, or what the observable makes of them."""
        seen = batch.observed
        values = (batch.values - prepared.center) / prepared.unit
        if seen is not None:
            values = np.where(seen, values, self.support.nearest(0.0 if self.observable.shifts else 0.5))
        base = self.observable.base(values)
        pieces = values[None] if isinstance(self.observable, Normal) else self.observable.T(values)
        if seen is not None:
            pieces, base = np.concatenate([pieces * seen, seen[None].astype(np.float64)]), base * seen
        return Projected(laid_out(pieces), base.sum(axis=1), self._labels(batch))

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(c, y), constants included."""
        result, facts = np.empty(codes.shape[:2]), projected.facts
        constants = prepared.constants if self._is_complete(prepared, facts) else prepared.log_pi
        if isinstance(self.observable, Normal):
            fill_gaussian(facts, *prepared.tables, constants, codes, result)
        else:
            fill_natural(facts, *prepared.tables, constants, projected.base, codes, result)
        add_log_classes(prepared.log_R, projected.labels, codes, result)
        return result

    def likeness(self, prepared: Prepared, values: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
        """(m, k) expected log probability of what components (m,) make in other components (k,).

        Of `normal` minus half the squared distances of their means in units of what components (m,) make: else wide
        components would be near to all.
        """
        if isinstance(self.observable, Normal):
            means, halves, _ = prepared.tables
            own, W = means[values], means[others]
            if len(halves) == 1:
                found = (2 * halves * own) @ W.T
                found -= np.square(W) @ halves[0]
                found -= (np.square(own) @ halves[0])[:, None]
                return found
            P = halves[values]
            return np.asarray(2 * (P * own) @ W.T - P @ np.square(W).T - np.sum(P * own * own, axis=1)[:, None])
        width = prepared.expected.shape[1]
        natural, A = prepared.tables[0][others, :width], -prepared.tables[0][others, width:].sum(axis=1)
        return np.asarray(prepared.expected[values] @ natural.T - A)

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the counts and sums of a batch."""
        used, facts, width = weights.any(axis=1), projected.facts, padded(len(prepared.center))
        weights = batch.weighed(weights)
        sums["n"] += batch.number_of(used)
        sums["base"] += batch.weighed(projected.base)[used].sum()
        add_counts(codes, weights, sums["counts"])
        if len(projected.labels):
            add_labels(codes, weights, projected.labels, sums["classes"])
        if not self._is_complete(prepared, facts):
            add_rows(codes, weights, 1.0 - facts[:, -width:], 0, sums["gaps"])
        for place, name in enumerate(self._of_T):
            if not isinstance(self.observable, Normal):
                add_rows(codes, weights, facts, place * width, sums[name])
            elif place == 0:
                add_rows(codes, weights, facts, 0, sums[name])
            elif self.noise == "scalar":
                sums[name] += weights.sum(axis=1) @ np.square(facts[:, :width]).sum(axis=1)
            else:
                add_rows(codes, weights, np.square(facts[:, :width]), 0, sums[name])

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The best parameters; a component without rows keeps its values, or is drawn anew."""
        new = params.copy()
        self._maximize_pi(new, sums, step)
        self._maximize_classes(new, sums, step)
        (W, V), seen, (center, unit) = self._scaled(params), self._seen(sums), self._measure(params)
        is_known = seen > LEAST_SHARE * sums["n"]
        mean_T = self.observable.mean_T(W, V).copy()
        for mean, name in zip(mean_T, self._of_T, strict=True):
            if sums[name].ndim:
                np.divide(sums[name], seen, out=mean, where=is_known)
        best = self.observable.solve(mean_T, W, V, set(step.learn) if self.noise == "diagonal" else step.learn & {"W"})
        W = np.where(is_known, best[0], W)
        if "W" in step.learn:
            new["W"] = np.where(is_known.T, (W * unit + center).T, params["W"])
        if "sigma" in step.learn:
            square = scatter(W, seen, sums["T_y"], sums["T_y_y"]) / (total(row_sums(seen)) or 1.0)
            least = min(_LEAST_SIGMA, float(params["sigma"] / unit[0]))
            new["sigma"] = max(unit[0] * max(float(np.sqrt(square)), least), SMALLEST_SCALE)
        if "V" in step.learn and V is not None and best[1] is not None:
            V = np.maximum(best[1], self._least_V(V))
            assert self.observable.second is not None
            V = np.maximum(V * self._squares(unit), self.observable.second.low)
            new["V"] = np.where(is_known, V, params["V"].T).T
        self._treat_unused(new, sums, step)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(c, y_n)>_n."""
        prior = self._expected_log_pi(params, sums) + self._expected_log_classes(params, sums)
        return prior + float(sums["base"]) - self._total_costs(params, sums)

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Costs are differences of sums as large as their parts."""
        (W, V), seen = self._scaled(params), self._seen(sums)
        eta, A = self.observable.natural(W, V)
        parts = total(row_sums(seen * (np.abs(A) + 1.0)))
        for each, name in zip(eta, self._of_T, strict=True):
            is_shared = sums[name].ndim == 0
            parts += abs(float(each[0, 0] * sums[name])) if is_shared else total(row_sums(np.abs(each * sums[name])))
        return 256 * _EPS * (parts + abs(float(sums["base"])))

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """H[pi] + (1/n) [sum_dc N_dc (A - sum_l eta_l E[T_l]) - base].

        What the M-step could not choose freely, since it is at a bound, enters by its cross entropy.
        """
        W, V = self._scaled(params)
        log_unit = np.log(self._measure(params)[1])
        if self.noise == "scalar":
            assert V is not None
            is_free = bool(V[0, 0] > _LEAST_SIGMA**2 * (1 + 1e-9))
            of_entry = float(pseudo_entropy(self.observable, np.zeros(()), V[0, 0]) + log_unit[0])
            found = total(row_sums(self._seen(sums))) * of_entry if is_free else self._total_costs(params, sums)
        else:
            of_entries = self._seen(sums) * (pseudo_entropy(self.observable, W, V) + log_unit)
            is_free_entry = (self.observable.mean.low < W) & (self.observable.mean.high > W)
            if V is not None and self.observable.second is not None:
                high = self.observable.second.high / 100
                low = _LEAST_SPREAD**2 * (1 + 1e-9) if self.observable.shifts else self.observable.second.low
                is_free_entry &= (low < V) & (high > V)
            found = total(row_sums(np.where(is_free_entry, of_entries, self._costs(params, sums))))
        of_prior = self._entropy_of_pi(params) + self._class_entropy(params, sums)
        return of_prior + (found - float(sums["base"])) / float(sums["n"])

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean <W_dc>."""
        result = np.zeros((len(codes), len(prepared.center)))
        add_means(codes, weights, prepared.W, result)
        return result

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the components (n, 1) that made them."""
        c = self._draw_components(params, n_rows, rng)
        return self._drawn(params, c, rng), c[:, None]

    def headline(self, params: NamedArrays) -> dict[str, float]:
        """The noise, and as how many equal components those that are used count."""
        found = {"sigma": float(params["sigma"])} if self.noise == "scalar" else {}
        return found | self._n_effective(params)

    @property
    def _of_T(self) -> tuple[str, ...]:
        """The names of the sums of T."""
        return tuple(f"T_{name}" for name in self.observable.statistics)

    def _is_complete(self, prepared: Prepared, facts: Floats) -> bool:
        """Whether nothing is said of which entries were observed."""
        pieces = 1 if isinstance(self.observable, Normal) else len(self.observable.statistics)
        return facts.shape[1] == pieces * padded(len(prepared.center))

    def _seen(self, sums: NamedArrays) -> Floats:
        """(C, D) the rows of each component in which an entry was observed."""
        counts, gaps = sums["counts"][:, None], sums["gaps"]
        return np.maximum(counts - gaps, 0.0) if gaps.any() else np.broadcast_to(counts, gaps.shape)

    def _measure(self, params: NamedArrays) -> tuple[Floats, Floats]:
        """(D,) what values are measured from, and in; near the components where learning is over and both are gone."""
        W = params["W"]
        if not self.observable.shifts:
            return np.zeros(len(W)), np.ones(len(W))
        if "center" in params:
            return params["center"], np.broadcast_to(params["unit"], (len(W),))
        noise = np.sqrt(params["V"].mean(axis=1)) if "V" in params else params["sigma"]
        return W.mean(axis=1), np.broadcast_to(2.0 ** np.round(np.log2(noise)), (len(W),))

    def _scaled(self, params: NamedArrays) -> tuple[Floats, Floats | None]:
        """(C, D) W and V by components, about the center and in units."""
        center, unit = self._measure(params)
        W = (params["W"].T - center) / unit
        if self.noise == "scalar":
            return W, np.broadcast_to(np.square(params["sigma"] / unit), W.shape)
        return W, params["V"].T / self._squares(unit) if "V" in params else None

    def _squares(self, unit: Floats) -> Floats:
        """(D,) the unit of V."""
        return np.square(unit) if self.observable.shifts else np.ones(len(unit))

    def _least_V(self, V: Floats) -> Floats:
        """(C, D) the smallest V that is learned, in units; nothing that is smaller is made larger by it."""
        return np.minimum(_LEAST_SPREAD**2, V) if self.observable.shifts else np.zeros(V.shape)

    def _total_costs(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_ncd q_nc (A - sum_l eta_l T_l)."""
        if self.noise != "scalar":
            return total(row_sums(self._costs(params, sums)))
        (W, V), seen, unit = self._scaled(params), self._seen(sums), self._measure(params)[1]
        assert V is not None
        squares = scatter(W, seen, sums["T_y"], sums["T_y_y"])
        normalized = 0.5 * np.log(2 * np.pi * V[0, 0]) + np.log(unit[0])
        return float(0.5 * squares / V[0, 0] + total(row_sums(seen)) * normalized)

    def _costs(self, params: NamedArrays, sums: NamedArrays) -> Floats:
        """(C, D) the same of each entry of each component, without scalar noise."""
        (W, V), seen, unit = self._scaled(params), self._seen(sums), self._measure(params)[1]
        eta, A = self.observable.natural(W, V)
        explained = sum(each * sums[name] for each, name in zip(eta, self._of_T, strict=True))
        return np.asarray(seen * (A + np.log(unit)) - explained)

    def _drawn(self, params: NamedArrays, c: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        """(n, D) rows of components (n,)."""
        W, V = params["W"].T[c], params["V"].T[c] if "V" in params else None
        if self.noise == "scalar":
            V = np.full(W.shape, np.square(params["sigma"]))
        return self.observable.draw(W, V, rng)

    def _treat_unused(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        """Leave components without rows as they are, or put them where others have theirs."""
        unused, donors = self._unused_and_donors(sums, step)
        if len(unused) == 0 or step.rng is None:
            return
        given = self._of_components(new, donors)
        drawn = 0.5 * (given["W"].T + self._drawn(given, np.arange(len(donors)), step.rng))
        chosen, places = own_among(unused, new["W"].shape[1])
        new["W"][:, places] = self.observable.mean.nearest(drawn).T[:, chosen]
        if "V" in new:
            new["V"][:, places] = given["V"][:, chosen]
