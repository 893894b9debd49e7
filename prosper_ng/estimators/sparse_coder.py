"""Models of latents that explain rows together, as transformers of scikit-learn."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import with_callbacks
from sklearn.utils.validation import check_is_fitted

from prosper_ng.errors import UserError
from prosper_ng.estimators.base import Estimator, Floats, Labeled
from prosper_ng.inference.answers import Posterior
from prosper_ng.models.capabilities import Superimposes, offers


class SparseCoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):
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

    _defaults: ClassVar[Mapping[str, Any]] = {"n_states": 60}

    @with_callbacks
    def fit(self, X: ArrayLike, y: object = None) -> "SparseCoder":
        """Learn from the rows of X (n, D); y is not looked at, and passed on to callbacks.

        Raises ValueError where a parameter is not legal or the data do not suit the model. Ctrl-C ends learning with a
        warning, and with what the last whole sweep came to.
        """
        self._learn(X, y)
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

    def predict_states(self, X: ArrayLike, top_k: int = 1) -> NDArray[Any]:
        """(n, top_k, H) the most probable states of each row of X (n, D), best first."""
        return self.posterior(X, top_k).states

    def _number(self, rows: Floats, labeled: Labeled | None) -> Any:
        return rows.shape[1] if self.n_components is None else self.n_components

    def _searching(self, number: Any) -> Mapping[str, Any]:
        return {"kind": "auto", "n_states": self.n_states}


def _codes(found: Posterior) -> Floats:
    """The posterior means of the amplitudes where there are any, else of the latents."""
    return cast(Floats, found.other_means.get("s_z", found.means))
