"""The page of a run: what it did, what it was told, what it came to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.config.canonical import flatten, inline
from prosper_ng.drawing import charts
from prosper_ng.drawing.charts import Chart, Picture
from prosper_ng.drawing.curves import label_of, panels_of
from prosper_ng.drawing.receptive_field_figures import field_charts, in_words
from prosper_ng.models.rounding import is_rounding, without_rounding
from prosper_ng.progress import duration, duration_in_full
from prosper_ng.report.images import images_of, notes_on
from prosper_ng.report.page import render, require_packages
from prosper_ng.report.pictures import dictionary_of, elements_of, fields_of, unit_of_data, use_of
from prosper_ng.report.run_text import known_parts, learned_activity, sentence
from prosper_ng.report.summary import silence, summary
from prosper_ng.storage.run_record import RunRecord

Floats = NDArray[np.float64]
TableRows = list[tuple[str, str]]

_PHASES = {
    "seconds_e_step": "E-step",
    "seconds_m_step": "M-step",
    "seconds_communication": "communication",
    "seconds_imbalance": "waiting for other ranks",
    "seconds_io": "writing files",
}
_LONG_TEXT = 200


class SettingLine(NamedTuple):
    """One value of the configuration."""

    name: str
    value: str
    origin: str


class Phase(NamedTuple):
    """What a part of the work took."""

    name: str
    time: str
    percent: float


class StartOfRun(NamedTuple):
    """Where the numbers of one start of the run come from."""

    title: str
    rows: TableRows
    texts: TableRows


def run_page(record: RunRecord) -> str:
    """The page as HTML; UserError where a package is missing."""
    require_packages()
    record = replace(record, history=_columns(record.history))
    found = summary(record)
    silent = silence(record)
    fields = fields_of(record)
    settings = [
        SettingLine(name, inline(value), str(record.origins.get(name, "")))
        for name, value in flatten(record.config).items()
    ]
    return render(
        "run.html",
        title=str(found["name"] or record.path.parent.name),
        kind="run",
        state=found["state"] or "unknown",
        reason=found["reason"],
        silent=None if silent is None else duration(silent),
        sentence=sentence(record, found),
        facts=_facts(record, found),
        digest=found["digest"],
        curves=charts.curve_charts(record.history, panels_of(record.headline, unit_of_data(record))),
        hottest=float(np.nanmax(record.history.get("temperature", np.ones(1)), initial=1.0)),
        images=_images(record),
        dictionary=_dictionary(record),
        fields=None if fields is None else in_words(fields),
        field_charts=[] if fields is None else field_charts(fields),
        activity=_activity(record),
        phases=_phases(record.history),
        parameters=_parameters(found["parameters"]),
        chosen=[each for each in settings if each.origin != "default"],
        defaults=[each for each in settings if each.origin == "default"],
        config_text=record.config_text,
        starts=_starts(record.provenance),
    )


def _columns(history: Mapping[str, Any]) -> dict[str, Floats]:
    """Those columns that are as long as there are sweeps."""
    n_sweeps = np.shape(history.get("sweep", ()))
    return {name: values for name, values in history.items() if len(n_sweeps) == 1 and np.shape(values) == n_sweeps}


def _facts(record: RunRecord, found: Mapping[str, Any]) -> TableRows:
    """The numbers that people ask for first."""
    of = f" of {found['n_iterations']:,}" if isinstance(found["n_iterations"], int) else ""
    rows: TableRows = [("sweeps", f"{found['iterations']:,}{of}")]
    if found["free_energy"] is not None:
        rows.append(("free energy per row", _number(found["free_energy"])))
    for name in ("psnr", "ssim"):
        known = known_parts(found, name)
        if known:
            unit, digits = (" dB", ".2f") if name == "psnr" else ("", ".3f")
            rows.append((name.upper(), " → ".join(_number(value, digits) for value in known.values()) + unit))
    recovered = found.get("recovered")
    if isinstance(recovered, dict):
        rows.append(("dictionary elements recovered", f"{recovered.get('found')} of {recovered.get('of')}"))
    for column, role in record.headline.items():
        last = record.last(column)
        if last is not None:
            rows.append((label_of(column, role), f"{last:.4g}"))
    gap = record.last("entropy_gap")
    if gap is not None:
        gap = float(without_rounding(gap, record.last("free_energy") or 0.0))
    if gap is not None and record.attributes.get("entropy_identity") == "at convergence":
        rows.append(("entropy gap, 0 at convergence", f"{gap:.3g} per row"))
    evaluated = record.last("n_evaluated")
    if evaluated is not None:
        rows.append(("looked at in a sweep, states or posteriors", f"{evaluated:.4g} per row"))
    elapsed = record.last("elapsed")
    if elapsed is not None:
        rows.append(("time", duration(elapsed)))
    return rows


def _images(record: RunRecord) -> list[Picture]:
    """The images of the task, with what there is to say of each."""
    images = images_of(record)
    notes = notes_on(images, record.results)
    return [
        charts.image_picture(name, image, f"{note}." if note else "")
        for (name, image), note in zip(images, notes, strict=True)
    ]


def _dictionary(record: RunRecord) -> list[Picture]:
    W, shape = dictionary_of(record)
    if W is None:
        return []
    pictures = [charts.dictionary_picture(W, shape, use_of(record, W.shape[1]))]
    learned, true = elements_of(record)
    if learned is not None and true is not None and true.ndim == 2 and len(true) == len(W):
        pictures.append(charts.recovery_picture(true, learned, shape))
    return pictures


def _activity(record: RunRecord) -> list[Chart]:
    activity = learned_activity(record)
    if activity is None:
        return []
    each = [] if is_rounding(np.ptp(activity), activity.max()) else [charts.activity_chart(activity)]
    return [*each, charts.count_chart(activity)]


def _phases(history: Mapping[str, Floats]) -> list[Phase]:
    """The time of each phase over all sweeps, and what is left of the time that passed."""
    seconds = {label: float(np.nansum(history[name])) for name, label in _PHASES.items() if name in history}
    elapsed = float(np.nanmax(history.get("elapsed", np.zeros(1)), initial=0.0))
    total = max(elapsed, sum(seconds.values()))
    if not seconds or total <= 0:
        return []
    seconds["everything else"] = total - sum(seconds.values())
    return [Phase(label, duration_in_full(each), 100 * each / total) for label, each in seconds.items()]


def _parameters(parameters: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, shape and values of the learned parameters."""
    rows = []
    for name, value in parameters.items():
        if not isinstance(value, dict):
            rows.append((name, "number", _number(value)))
            continue
        shape = " × ".join(map(str, value["shape"]))
        low, high, mean = (_number(value.get(which)) for which in ("min", "max", "mean"))
        rows.append((name, shape, f"{low} to {high}, mean {mean}"))
    return rows


def _starts(provenance: Mapping[str, Any]) -> list[StartOfRun]:
    """Of each start of the run, the first one first."""
    later: dict[str, Mapping[str, Any]] = {
        name: value for name, value in provenance.items() if isinstance(value, Mapping)
    }
    first: Mapping[str, Any] = {name: value for name, value in provenance.items() if name not in later}
    starts = [("First start" if later else "", first)]
    starts += [(f"Start {name.rpartition('-')[2].lstrip('0')}", value) for name, value in sorted(later.items())]
    return [_start(title, values) for title, values in starts]


def _start(title: str, values: Mapping[str, Any]) -> StartOfRun:
    texts = [(name, str(value)) for name, value in values.items()]
    is_long = [len(text) > _LONG_TEXT or "\n" in text for _, text in texts]
    rows = [row for row, long in zip(texts, is_long, strict=True) if not long]
    return StartOfRun(title, _in_order(rows), [row for row, long in zip(texts, is_long, strict=True) if long])


def _in_order(rows: TableRows) -> TableRows:
    """What people look for first before the versions."""
    first: Sequence[str] = ("started", "command", "prosper_ng", "git_commit", "git_dirty", "input_sha256")
    place = {name: at for at, name in enumerate(first)}
    return sorted(rows, key=lambda row: (place.get(row[0], len(first)), row[0].startswith("version_")))


def _number(value: Any, digits: str = ".6g") -> str:
    if value is None:
        return "?"
    return f"{value:{digits}}".replace("-", "−") if isinstance(value, float) else str(value)
