"""What the estimators share: settings in the words of scikit-learn, the engine of `prosper_ng.learn`."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackContext, CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from prosper_ng.components import components_of
from prosper_ng.config import ConfigError, SourceText
from prosper_ng.config.hints import fields_of
from prosper_ng.config.mistakes import Mistake, Place
from prosper_ng.data.sources._in_hand import more_than_array
from prosper_ng.errors import UserError, warn
from prosper_ng.inference.answers import Posterior
from prosper_ng.inference.learned import Learned
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.models.capabilities import Superimposes, offers
from prosper_ng.models.roles import elements_shown, of_role
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.running.learn import learn
from prosper_ng.training.em import SweepReport
from prosper_ng.training.settings import Training

Floats = NDArray[np.float64]

_COMMON: dict[str, Any] = {
    "n_states": 60,
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
"""Parameters of all estimators and their defaults, besides n_components and the options of the model."""
_LARGEST_DRAWN = np.iinfo(np.int32).max


class SparseCoder(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """A model as an estimator; subclasses name its kind, and take its options as parameters.

    Parameters
    ----------
    n_components : H, the number of latents; that of the features where None.
    n_states : S, the number of states for each row, where they are searched for.
    estep : how states are chosen, as a kind, a mapping, or a component; what suits the model where None.
    max_iter : sweeps over the rows, at most.
    n_updates : M-steps in each sweep.
    tol : learning ends where F changed by no more than this share of itself in three sweeps; 0 for never.
    annealing : a mapping as `training.annealing` in a configuration.
    n_init : starts that are tried, of which that of the largest F is learned to the end.
    validation_fraction : the share of the rows that is not learned from; `tol` is then about what their F gains.
    warm_start : whether `fit` goes on from the parameters that it found before.
    random_state : an integer is the seed of `prosper_ng.learn`, which gives the same bits.
    n_jobs : threads, by joblib's rules; the numbers do not depend on it.
    verbose : whether to print a line for each sweep.

    Attributes
    ----------
    components_ : (H, D) the dictionary elements.
    params_ : all parameters by their symbols.
    n_iter_ : sweeps that were done.
    free_energy_trace_ : (n_iter_,) F per row after each sweep.
    learned_ : the `prosper_ng.Learned`.

    NaN marks missing values. What is said of a row depends on nothing but what it holds.
    """

    kind: ClassVar[str]
    _options: ClassVar[tuple[str, ...]] = ()
    """The options of the model, as its configuration names them."""

    def __init_subclass__(cls, kind: str | None = None, **defaults: Any) -> None:
        """Take the options of the model of a kind as parameters; `defaults` are those that it lacks, or others."""
        super().__init_subclass__()
        if kind is None:
            return
        model: Any = components_of("prosper_ng.models")[kind]
        fields = [name for name in fields_of(model) if name not in ("kind", "n_latents")]
        own = {field.name: field.default for field in dataclasses.fields(model) if field.name in fields} | defaults
        cls.kind, cls._options = kind, tuple(fields)
        cls.__init__ = _initializer({"n_components": None} | own | _COMMON)  # type: ignore[method-assign]

    @with_callbacks
    def fit(self, X: ArrayLike, y: object = None) -> "SparseCoder":
        """Learn from the rows of X (n, D); y is not looked at, and passed on to callbacks.

        Raises ValueError where a parameter is not legal or the data do not suit the model. Ctrl-C ends learning with a
        warning, and with what the last whole sweep came to.
        """
        rows = self._rows(X, reset=True)
        settings = self._settings(rows.shape[1])
        start = getattr(self, "learned_", None) if self.warm_start else None
        root = self._init_callback_context(max_subtasks=settings.training.all_sweeps)
        root.call_on_fit_task_begin(estimator=self, X=X, y=y)
        try:
            found = learn(
                rows, settings.model, estep=settings.estep, training=settings.training, seed=settings.seed,
                missing=_has_gaps(rows), held_out=settings.held_out, n_jobs=effective_n_jobs(self.n_jobs), start=start,
                on_sweep=self._listener(root, X, y, settings), progress=False,
            )  # fmt: skip
        except KeyboardInterrupt as interrupt:
            if not hasattr(interrupt, "learned"):
                raise
            found = interrupt.learned
            message = f"learning was interrupted after {found.n_sweeps} sweeps; what they came to is kept"
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        names = getattr(self, "feature_names_in_", None)
        found = dataclasses.replace(found, column_names=None if names is None else tuple(names))
        for name, value in _attributes(found, settings.training).items():
            setattr(self, name, value)
        root.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """(n, H) posterior means of the latents, times their amplitudes where these have any."""
        return _codes(self.posterior(X))

    def inverse_transform(self, X: ArrayLike) -> Floats:
        """(n, D) what the model makes of values (n, H) of the latents."""
        check_is_fitted(self)
        model, values = self.learned_.model, np.asarray(X, dtype=np.float64)
        if not offers(model, Superimposes):
            raise UserError(f"model {self.kind} cannot superimpose values of its latents")
        if values.ndim != 2 or values.shape[1] != len(self.components_):
            raise UserError(f"values of the latents are (n, {len(self.components_)}), not {values.shape}")
        return cast(Superimposes, model).superimpose(self.learned_.params, values)

    def posterior(self, X: ArrayLike, top_k: int = 1) -> Posterior:
        """All that is known of the latents of each row of X (n, D); see `prosper_ng.Learned.posterior`."""
        check_is_fitted(self)
        rows = self._rows(X)
        n_jobs = effective_n_jobs(self.n_jobs)
        return self.learned_.posterior(rows, top_k=top_k, missing=_has_gaps(rows), n_jobs=n_jobs)

    def predict_states(self, X: ArrayLike, top_k: int = 1) -> NDArray[Any]:
        """(n, top_k, H) the most probable states of each row of X (n, D), best first."""
        return self.posterior(X, top_k).states

    def reconstruct(self, X: ArrayLike) -> Floats:
        """X (n, D) with what is NaN filled in by the model."""
        check_is_fitted(self)
        rows = self._rows(X)
        n_jobs = effective_n_jobs(self.n_jobs)
        return self.learned_.reconstruct(rows, missing=_has_gaps(rows), n_jobs=n_jobs).filled

    def score_samples(self, X: ArrayLike) -> Floats:
        """(n,) the free energy of each row of X (n, D), a lower bound of its log likelihood."""
        check_is_fitted(self)
        rows = self._rows(X)
        n_jobs = effective_n_jobs(self.n_jobs)
        return self.learned_.free_energy(rows, missing=_has_gaps(rows), n_jobs=n_jobs)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean free energy of the rows of X (n, D); y is not looked at."""
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, seed: int = 0) -> tuple[Floats, NDArray[Any]]:
        """Rows (n, D) drawn from the model, and the values (n, H) of the latents that made them."""
        check_is_fitted(self)
        return self.learned_.sample(n_samples, seed)

    def __sklearn_tags__(self) -> Tags:
        """NaN is welcome, sparse matrices are not, and codes are float64."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        """H; scikit-learn names the columns of codes by it."""
        return len(self.components_)

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

    def _settings(self, n_features: int) -> LearningSettings:
        """The parameters as the engine takes them; raises ConfigError, in the words of the estimator."""
        n_latents = n_features if self.n_components is None else self.n_components
        model = {name: getattr(self, name) for name in self._options} | {"kind": self.kind, "n_latents": n_latents}
        estep = {"kind": "auto", "n_states": self.n_states} if self.estep is None else self.estep
        watched = "relative_change" if self.validation_fraction is None else "held_out_gain"
        training = {
            "n_sweeps": self.max_iter, "updates_per_sweep": self.n_updates, "restarts": self.n_init,
            "stopping": {watched: self.tol} if self.tol else {},
        }  # fmt: skip
        given: dict[str, Any] = {"model": model, "estep": estep, "training": training}
        if self.annealing is not None:
            training["annealing"] = self.annealing
        try:
            return LearningSettings(seed=self._seed(), held_out=self.validation_fraction, **given)
        except ConfigError as error:
            raise _in_words_of(type(self).__name__, error) from None

    def _listener(
        self, root: CallbackContext, X: ArrayLike, y: object, settings: LearningSettings
    ) -> Callable[[SweepReport, NamedArrays], bool]:
        """What tells callbacks of each sweep, and whether one of them wants to end."""
        trace: list[float] = []

        def on_sweep(report: SweepReport, params: NamedArrays) -> bool:
            if self.verbose:
                print(f"[{type(self).__name__}] sweep {report.sweep}: F {report.free_energy:.6g}")
            trace.append(report.free_energy)
            sweep = root.subcontext(task_name="sweep").call_on_fit_task_begin(estimator=self, X=X, y=y)

            def so_far() -> dict[str, Any]:
                return _attributes(
                    Learned(
                        model=settings.model, params=params.copy(), n_observed=self.n_features_in_,
                        estep=settings.estep, seed=settings.seed, history={"free_energy": np.array(trace)},
                        n_sweeps=report.sweep,
                    ),
                    settings.training,
                )  # fmt: skip

            return bool(sweep.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=so_far))

        return on_sweep


def _attributes(found: Learned, training: Training) -> dict[str, Any]:
    """What `fit` leaves behind; sweeps are those after restarts, once there are any."""
    trace = found.history["free_energy"]
    n_before = training.restarts * training.tried_sweeps
    trace = trace[n_before if len(trace) > n_before else 0 :]
    dictionary = elements_shown(found.params, partial(of_role, found.model.parameters(found.n_observed)))
    return {
        "learned_": found,
        "params_": dict(found.params.items()),
        "components_": cast(Floats, dictionary).T,
        "n_iter_": len(trace),
        "free_energy_trace_": trace,
    }


def _has_gaps(rows: Floats) -> bool:
    return bool(np.isnan(rows).any())


def _codes(found: Posterior) -> Floats:
    """The posterior means of the amplitudes where there are any, else of the latents."""
    return cast(Floats, found.other_means.get("s_z", found.means))


_WORDS = {
    "`model.n_latents`": "`n_components`",
    "`estep.n_states`": "`n_states`",
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


def _in_words_of(name: str, error: ConfigError) -> ConfigError:
    """What is wrong with parameters, by the names that the estimator has for them."""
    place = Place(SourceText(f"{name}(...)"), width=0)
    found = []
    for mistake in error.mistakes:
        message = mistake.message
        for theirs, ours in _WORDS.items():
            message = message.replace(theirs, ours)
        found.append(Mistake(place, message, mistake.notes))
    return ConfigError(found)


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
