"""What a run did, in a sentence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.models.axes import COUNTED
from prosper_ng.progress import duration
from prosper_ng.storage.run_record import RunRecord

Floats = NDArray[np.float64]


def part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a configuration or of results; empty where there is none."""
    found = whole.get(name)
    return found if isinstance(found, Mapping) else {}


def known_parts(found: Mapping[str, Any], name: str) -> dict[str, float]:
    """What is known of a quality `before` and `after`; nothing where it was not measured."""
    value = part(found, name)
    return {when: value[when] for when in ("before", "after") if isinstance(value.get(when), float)}


def sentence(record: RunRecord, found: Mapping[str, Any]) -> str:
    """What the run did, from its record and what `summary` found in it."""
    model, data = _model(record.config), _data(record)
    total = found["n_iterations"]
    sweeps = "1 sweep" if found["iterations"] == 1 else f"{found['iterations']:,} sweeps"
    done = f"{found['iterations']:,} of {total:,} sweeps" if isinstance(total, int) else sweeps
    match found["state"]:
        case "finished":
            elapsed = record.last("elapsed")
            time = "" if elapsed is None else f" ({duration(elapsed)})"
            return f"{model} learned from {data} in {sweeps}{time}{_outcome(found)}."
        case "running":
            return f"{model} is learning from {data}: {done} are done."
        case "stopped":
            return (
                f"{model} learned from {data} until it was stopped after {done}; the same command continues from there."
            )
        case "failed":
            return f"{model} was learning from {data} and failed after {done}."
        case _:
            return f"{model} learned from {data}; {sweeps} are recorded, and how the run ended is not known."


def learned_activity(record: RunRecord) -> Floats | None:
    """(H,) how probable it is that each latent is not zero, by the learned prior; None where that is not known."""
    model = part(record.config, "model")
    learned, (_, n_latents) = record.parameters.get(record.of_role("activity") or "", np.nan), _counted(model)
    pi = np.asarray(learned, dtype=np.float64)
    if n_latents is None or n_latents < 1 or not np.isfinite(pi).all():
        return None
    if isinstance(model.get("values"), list):
        # Probabilities of the values, that of 0 first; they count in proportion.
        if pi.ndim == 0 or pi.shape[-1] == 0:
            return None
        pi = 1 - pi[..., 0] / pi.sum(axis=-1)
    if pi.shape not in ((), (n_latents,)) or np.any((pi < 0) | (pi > 1)):
        return None
    return np.broadcast_to(pi, (n_latents,)).astype(np.float64)


def _model(config: Mapping[str, Any]) -> str:
    model = part(config, "model")
    kind = str(model.get("kind", "a model")).upper() if "kind" in model else "A model"
    word, number = _counted(model)
    return kind if number is None else f"{kind} with {number:,} {word}"


def _counted(model: Mapping[str, Any]) -> tuple[str, int | None]:
    """What the model of a configuration has many of, and how many; None where it does not say."""
    found = ((each.word, model.get(each.field)) for each in COUNTED)
    return next(((word, number) for word, number in found if isinstance(number, int)), ("", None))


def _data(record: RunRecord) -> str:
    source, attributes = part(record.config, "data"), record.attributes
    n_rows, n_observed = attributes.get("n_rows"), attributes.get("n_observed")
    text = (
        f"{n_rows:,} rows of {n_observed:,} values" if isinstance(n_rows, int) and isinstance(n_observed, int) else ""
    )
    kind = str(source.get("kind", ""))
    named = next((str(source[name]) for name in ("image", "path") if isinstance(source.get(name), str)), "")
    what = f"{kind} {named}".strip()
    return f"{text} ({what})" if text and what else text or what or "data"


def _outcome(found: Mapping[str, Any]) -> str:
    """What came of it, where the task has measured something."""
    psnr, recovered = known_parts(found, "psnr"), found.get("recovered")
    if len(psnr) == 2:
        return f"; the PSNR went from {psnr['before']:.2f} dB to {psnr['after']:.2f} dB"
    if "after" in psnr:
        return f"; the PSNR is {psnr['after']:.2f} dB"
    if isinstance(recovered, Mapping):
        return f"; {recovered.get('found')} of {recovered.get('of')} true dictionary elements were recovered"
    return ""
