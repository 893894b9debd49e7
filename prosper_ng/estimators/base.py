"""What all estimators share: settings in the words of scikit-learn, the engine of `prosper_ng.learn`."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackContext, CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from prosper_ng.components import components_of
from prosper_ng.config import ConfigError, SourceText
from prosper_ng.config.hints import fields_of
from prosper_ng.config.mistakes import Mistake, Place
from prosper_ng.data.sources._in_hand import more_than_array
from prosper_ng.errors import warn
from prosper_ng.inference.answers import Posterior
from prosper_ng.inference.learned import Learned
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.models.axes import COUNTED
from prosper_ng.models.roles import elements_of
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.running.learn import learn
from prosper_ng.training.em import SweepReport
from prosper_ng.training.settings import Training

Floats = NDArray[np.float64]

_COMMON: dict[str, Any] = {
    "n_states": None,
    "estep": None,
    "max_iter": 50,
    "n_updates": 1,
    "tol": 1e-4,
    "annealing": None,
    "n_init": 1,
    "validation_fraction": None,
    "warm_start": False,
    "random_state": None,
    "n_jobs": None,
    "verbose": 0,
}
"""Parameters of all estimators and their defaults, besides those of the model."""
_LARGEST_DRAWN = np.iinfo(np.int32).max


class Labeled(NamedTuple):
    """What is known of the classes of rows."""

    classes: NDArray[Any]
    """(K,) the classes, in ascending order."""
    numbers: Floats
    """(N,) which of them each row is of, from 0; NaN where none is known."""


class Estimator(CallbackSupportMixin, BaseEstimator):
    """A model as an estimator: families of them say how to `fit` by `_learn`, and what they make of rows then."""

    kind: ClassVar[str]
    _options: ClassVar[tuple[str, ...]] = ()
    """The options of the model that are parameters, as its configuration names them."""
    _fixed: ClassVar[Mapping[str, Any]] = {}
    """Those that are not, and what they are."""
    _field: ClassVar[str] = "n_latents"
    """The field of the model that says how many components there are."""
    _size: ClassVar[str] = "n_components"
    """The parameter for that."""
    _defaults: ClassVar[Mapping[str, Any]] = {}
    """Parameters of a family of estimators besides those of all, or other defaults of these."""

    def __init_subclass__(
        cls, kind: str | None = None, fixed: Mapping[str, Any] | None = None, **defaults: Any
    ) -> None:
        """Take the options of the model of a kind as parameters, but for what is `fixed`.

        `defaults` are those that options lack, or others.
        """
        super().__init_subclass__()
        if kind is None:
            return
        model: Any = components_of("prosper_ng.models")[kind]
        fields, cls.kind, cls._fixed = fields_of(model), kind, fixed or {}
        cls._field = next((each.field for each in COUNTED if each.field in fields), cls._field)
        cls._options = tuple(name for name in fields if name not in {"kind", cls._field, *cls._fixed})
        own = {field.name: field.default for field in dataclasses.fields(model) if field.name in cls._options}
        every = {cls._size: None} | own | _COMMON | dict(cls._defaults) | defaults
        cls.__init__ = _initializer(every)  # type: ignore[method-assign]

    def _learn(self, X: ArrayLike, y: object, sample_weight: ArrayLike | None = None) -> None:
        """Learn from the rows of X (n, D), and keep what that comes to; within the context of callbacks.

        Each row counts as `sample_weight` (n,) rows, if the model has rows of different weight.

        Raises ValueError where a parameter is not legal or the data do not suit the model. Ctrl-C ends learning with a
        warning, and with what the last whole sweep came to.
        """
        rows, weights = self._rows(X, reset=True), None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, rows, dtype=np.float64)
        labeled = self._labeled(y, rows, weights)
        settings = self._settings(rows, labeled)
        start = self._start(settings, rows)
        root = self._init_callback_context(max_subtasks=settings.training.all_sweeps)
        root.call_on_fit_task_begin(estimator=self, X=X, y=y)
        try:
            found = learn(
                rows, settings.model, estep=settings.estep, training=settings.training, seed=settings.seed,
                missing=_has_gaps(rows), held_out=settings.held_out, weights=weights,
                labels=None if labeled is None else labeled.numbers, start=start, n_jobs=effective_n_jobs(self.n_jobs),
                on_sweep=self._listener(root, X, y, settings, labeled), progress=False,
            )  # fmt: skip
        except KeyboardInterrupt as interrupt:
            if not hasattr(interrupt, "learned"):
                raise
            found = interrupt.learned
            message = f"learning was interrupted after {found.n_sweeps} sweeps; what they came to is kept"
            warnings.warn(message, ConvergenceWarning, stacklevel=4)
        names = getattr(self, "feature_names_in_", None)
        found = dataclasses.replace(found, column_names=None if names is None else tuple(names))
        for name, value in (self._attributes(found, settings.training) | _told_by(labeled)).items():
            setattr(self, name, value)
        self._finish(rows, weights)
        root.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)

    def posterior(self, X: ArrayLike, top_k: int = 1) -> Posterior:
        """All that is known of what is hidden in each row of X (n, D); see `prosper_ng.Learned.posterior`."""
        return cast(Posterior, self._said(X, "posterior", top_k=top_k))

    def reconstruct(self, X: ArrayLike) -> Floats:
        """X (n, D) with what is NaN filled in by the model."""
        return cast(Floats, self._said(X, "reconstruct").filled)

    def score_samples(self, X: ArrayLike) -> Floats:
        """(n,) the free energy of each row of X (n, D), a lower bound of its log likelihood."""
        return cast(Floats, self._said(X, "free_energy"))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean of `score_samples` over the rows of X (n, D); y is not looked at."""
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, seed: int = 0) -> tuple[Floats, NDArray[Any]]:
        """Rows (n, D) drawn from the model, and the values (n, H) of the latents that made them."""
        check_is_fitted(self)
        return self._asked.sample(n_samples, seed)

    def __sklearn_tags__(self) -> Tags:
        """NaN is welcome, sparse matrices are not, and what rows become is float64."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        """How many components there are; scikit-learn names the columns of what transformers give by it."""
        return len(self.components_)

    def _said(self, X: ArrayLike, method: str, **options: Any) -> Any:
        """What a method of the learned model says of the rows of X (n, D)."""
        check_is_fitted(self)
        return self._said_of(self._rows(X), method, **options)

    def _said_of(self, rows: Floats, method: str, **options: Any) -> Any:
        """The same of rows (n, D) that were made ready."""
        asked = getattr(self._asked, method)
        return asked(rows, missing=_has_gaps(rows), n_jobs=effective_n_jobs(self.n_jobs), **options)

    @property
    def _asked(self) -> Learned:
        """Who answers for rows."""
        return cast(Learned, self.learned_)

    def _rows(self, X: ArrayLike, reset: bool = False) -> Floats:
        """The rows (n, D) as float64, binary where this is asked for; raises ValueError where they are none."""
        held = more_than_array(X, "X")
        if held is None:
            rows = validate_data(self, X, reset=reset, dtype=np.float64, order="C", ensure_all_finite="allow-nan")
        else:
            validate_data(self, X, reset=reset, skip_check_array=True)
            rows = held.read(0, held.n_rows)
            for doubt in held.doubts if reset else ():
                warn(doubt)
        threshold = getattr(self, "binarize", None)
        return rows if threshold is None else np.where(np.isnan(rows), rows, rows > threshold)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(_LARGEST_DRAWN))

    def _labeled(self, y: object, rows: Floats, weights: Floats | None) -> Labeled | None:
        """What y says of the classes of rows (n, D) with weights (n,); None where it is not looked at."""
        return None

    def _settings(self, rows: Floats, labeled: Labeled | None = None) -> LearningSettings:
        """The parameters as the engine takes them; raises ConfigError, in the words of the estimator."""
        number = self._number(rows, labeled)
        chosen = {name: getattr(self, name) for name in self._options}
        model = {name: value for name, value in chosen.items() if value is not None} | dict(self._fixed)
        model |= {"kind": self.kind, self._field: number}
        model |= {} if labeled is None else {"n_classes": len(labeled.classes)}
        watched = "relative_change" if self.validation_fraction is None else "held_out_gain"
        training = {
            "n_sweeps": self.max_iter, "updates_per_sweep": self.n_updates, "restarts": self.n_init,
            "stopping": {watched: self.tol} if self.tol else {},
        }  # fmt: skip
        estep = self._searching(number) if self.estep is None else self.estep
        given: dict[str, Any] = {"model": model, "estep": estep, "training": training}
        if self.annealing is not None:
            training["annealing"] = self.annealing
        try:
            return LearningSettings(seed=self._seed(), held_out=self.validation_fraction, **given)
        except ConfigError as error:
            raise self._in_own_words(error) from None

    def _number(self, rows: Floats, labeled: Labeled | None) -> Any:
        """How many components are asked for."""
        return getattr(self, self._size)

    def _searching(self, number: Any) -> Mapping[str, Any]:
        """The E-step where none is named, for a number of components."""
        raise NotImplementedError

    def _start(self, settings: LearningSettings, rows: Floats) -> Learned | Mapping[str, Any] | None:
        """What learning starts from, where that is not found from the data."""
        return getattr(self, "learned_", None) if self.warm_start else None

    def _attributes(self, found: Learned, training: Training) -> dict[str, Any]:
        """What `fit` leaves behind, also after each sweep; sweeps are those after restarts, once there are any."""
        trace = found.history["free_energy"]
        n_before = training.restarts * training.tried_sweeps
        trace = trace[n_before if len(trace) > n_before else 0 :]
        dictionary = elements_of(found.model, found.n_observed, found.params)
        return {
            "learned_": found,
            "params_": dict(found.params.items()),
            "components_": cast(Floats, dictionary).T,
            "n_iter_": len(trace),
            "free_energy_trace_": trace,
        }

    def _finish(self, rows: Floats, weights: Floats | None) -> None:
        """Say of the rows (n, D) that were learned from, with weights (n,), what is to be said of them."""

    def _listener(
        self, root: CallbackContext, X: ArrayLike, y: object, settings: LearningSettings, labeled: Labeled | None
    ) -> Callable[[SweepReport, NamedArrays], bool]:
        """What tells callbacks of each sweep, and whether one of them wants to end."""
        trace: list[float] = []

        def on_sweep(report: SweepReport, params: NamedArrays) -> bool:
            if self.verbose:
                print(f"[{type(self).__name__}] sweep {report.sweep}: F {report.free_energy:.6g}")
            trace.append(report.free_energy)
            sweep = root.subcontext(task_name="sweep").call_on_fit_task_begin(estimator=self, X=X, y=y)

            def so_far() -> dict[str, Any]:
                found = Learned(
                    model=settings.model, params=params.copy(), n_observed=self.n_features_in_,
                    estep=settings.estep, seed=settings.seed, history={"free_energy": np.array(trace)},
                    n_sweeps=report.sweep,
                )  # fmt: skip
                return self._attributes(found, settings.training) | _told_by(labeled)

            return bool(sweep.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=so_far))

        return on_sweep

    def _in_own_words(self, error: ConfigError) -> ConfigError:
        """What is wrong with parameters, by the names that the estimator has for them."""
        place = Place(SourceText(f"{type(self).__name__}(...)"), width=0)
        found = []
        for mistake in error.mistakes:
            message = mistake.message.replace(f"`model.{self._field}`", f"`{self._size}`")
            for theirs, ours in _WORDS.items():
                message = message.replace(theirs, ours)
            found.append(Mistake(place, message, mistake.notes))
        return ConfigError(found)


def _has_gaps(rows: Floats) -> bool:
    return bool(np.isnan(rows).any())


_WORDS = {
    "`estep.n_states`": "`n_states`",
    "`estep.n_near`": "`n_near`",
    "`training.n_sweeps`": "`max_iter`",
    "`training.updates_per_sweep`": "`n_updates`",
    "`training.stopping.relative_change`": "`tol`",
    "`training.stopping.held_out_gain`": "`tol`",
    "`training.restarts`": "`n_init`",
    "`held_out`": "`validation_fraction`",
    "`training.annealing": "`annealing",
    "`seed`": "`random_state`",
    "`model.": "`",
}
"""Names in a configuration, and what estimators call them."""


def _told_by(labeled: Labeled | None) -> dict[str, Any]:
    """What `fit` leaves behind of classes."""
    return {} if labeled is None else {"classes_": labeled.classes}


def _initializer(defaults: Mapping[str, Any]) -> Callable[..., None]:
    """An `__init__` that keeps what it is given, as scikit-learn asks for, with a signature to look at."""

    def __init__(self: Any, *positional: Any, **given: Any) -> None:
        bound = signature.bind(self, *positional, **given)
        bound.apply_defaults()
        for name in defaults:
            setattr(self, name, bound.arguments[name])

    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("self", kinds[0])]
    for number, (name, default) in enumerate(defaults.items()):
        parameters.append(inspect.Parameter(name, kinds[min(number, 1)], default=default))
    signature = inspect.Signature(parameters)
    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__
