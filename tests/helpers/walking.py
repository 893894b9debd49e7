"""An E-step of another kind than those of the package: it keeps no state sets, but a number and means of each row."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt

from prosper_ng.components import component
from prosper_ng.estep.defaults import EStepDefaults
from prosper_ng.estep.interface import Found
from prosper_ng.latents.posterior import log_sum, truncated_posterior


@component
class Walking(EStepDefaults):
    """K_n: a state and all that differ from it in one latent; where it is goes from better to better.

    Binary latents, up to 31. What a row keeps are the number of the state in the middle, whose bits are the latents,
    and running means of the latents, which lead out of a place where all neighbors are worse.
    """

    inertia: Annotated[float, Ge(0), Lt(1)] = 0.5
    """How much of the means stays in a sweep."""

    def row_state(self, model, n_observed):
        return {"means": ((model.n_latents,), np.dtype(np.float64)), "index": ((), np.dtype(np.int32))}

    def initial_rows(self, model, n_observed, rows, activity, stream):
        drawn = [stream.generator(int(row)).random(len(activity)) < activity for row in rows]
        bits = np.reshape(drawn, (len(rows), len(activity)))
        return {"means": np.tile(activity, (len(rows), 1)), "index": _number(bits).astype(np.int32)}

    def n_listed(self, space):
        return space.n_latents + 1

    def find(self, target, rows=None, vary=True):
        middle = rows["index"].astype(np.int64)
        codes, log_joint = _around(target, middle)
        n_evaluated = log_joint.size
        if vary:
            bits = target.model.space.decode(codes)
            best = _number(bits[np.arange(len(bits)), log_joint.argmax(axis=1)])
            for towards in (_number(rows["means"] > 0.5), best):
                others, theirs = _around(target, towards)
                better = log_sum(theirs) > log_sum(log_joint)
                codes[better], log_joint[better], middle[better] = others[better], theirs[better], towards[better]
                n_evaluated += theirs.size
            weights = truncated_posterior(log_joint).weights
            means = np.einsum("ns,nsh->nh", weights, target.model.space.decode(codes))
            rows["means"][...] = self.inertia * rows["means"] + (1 - self.inertia) * means
            rows["index"][...] = middle
        return Found(codes, log_joint, n_evaluated)


def _number(bits):
    return bits @ (1 << np.arange(bits.shape[-1]))


def _around(target, numbers):
    """Codes and log joints of states and all their neighbors."""
    H = target.model.n_latents
    bits = (numbers[:, None] >> np.arange(H)) & 1
    codes = target.model.space.encode(bits[:, None, :] ^ np.eye(H + 1, H, -1, dtype=np.int64))
    return codes, target.log_joint(codes)
