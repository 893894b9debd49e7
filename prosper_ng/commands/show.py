"""`prosper-ng show RUN`: how a run stands and what it came to."""

import argparse
from typing import TYPE_CHECKING, Any

from prosper_ng.commands._arguments import path_argument

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from prosper_ng.storage.run_record import RunRecord

HELP = "show how a run stands and what it came to"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run", type=path_argument, metavar="RUN", help="the folder of the run")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON")
    forms.add_argument(
        "--fields", action="store_true", help="print what was fitted to the receptive fields, one to a line, as CSV"
    )
    forms.add_argument("--cite", action="store_true", help="print the papers of its model and E-step, also as BibTeX")


def run(arguments: argparse.Namespace) -> int:
    """0 once it is printed. Raises UserError where there is no run, it cannot be read, or has no receptive fields."""
    import json

    from prosper_ng.campaigns.file_kinds import refuse_campaign
    from prosper_ng.report.summary import silence, summary
    from prosper_ng.storage.run_record import read_run

    refuse_campaign(arguments.run)
    record = read_run(arguments.run)
    if arguments.fields:
        _print_fields(record)
        return 0
    if arguments.cite:
        _print_papers(arguments.run)
        return 0
    found = summary(record)
    if arguments.json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        _print_table(found, silence(record))
    return 0


def _print_fields(record: "RunRecord") -> None:
    import csv
    import sys

    from prosper_ng.errors import UserError
    from prosper_ng.report.pictures import ABSENT, fields_of

    found = fields_of(record)
    if found is None:
        raise UserError(f"{record.path} has no receptive fields: {ABSENT['fields']}")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("element", *found._fields))
    for element, row in enumerate(zip(*found, strict=True)):
        writer.writerow((element, row[0], *(f"{value:.6g}" for value in row[1:])))


def _print_papers(run: "Path") -> None:
    from prosper_ng.inference.stored import load
    from prosper_ng.report.papers import citation

    learned = load(run)
    print(citation(learned.model, learned.chosen_estep.estep))


def _print_table(found: dict[str, Any], silent_seconds: float | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from prosper_ng.progress import duration

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # lines that are read by programs are not to be broken
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    state = found["state"] or "unknown"
    if silent_seconds is not None:
        state += f", but silent for {duration(silent_seconds)}: it may be dead"
    if found["reason"]:
        state += f" ({found['reason']})"
    of = f" of {found['n_iterations']}" if found["n_iterations"] else ""
    rows = {"name": found["name"], "state": state, "sweeps": f"{found['iterations']}{of}"}
    rows |= {"free energy": _number(found["free_energy"], "per row"), "digest": found["digest"]}
    shown = {"name", "state", "reason", "iterations", "n_iterations", "free_energy", "digest", "parameters"}
    for name, value in rows.items():
        if value:
            table.add_row(name, str(value))
    _add_results(table, {name: value for name, value in found.items() if name not in shown})
    for name, value in found["parameters"].items():
        table.add_row(name, _parameter(value))
    console.print(table)


def _add_results(table: "Table", results: dict[str, Any]) -> None:
    for name, value in results.items():
        if isinstance(value, dict):
            value = {key: item for key, item in value.items() if item is not None}
        if value is None or value == {}:
            continue
        if name == "recovered" and isinstance(value, dict):
            text = f"{value.get('found')} of {value.get('of')}"
        elif isinstance(value, dict) and value.keys() == {"before", "after"}:
            text = f"{_number(value['before'])} before, {_number(value['after'])} after"
        elif isinstance(value, dict):
            text = "  ".join(f"{key} {_number(item)}" for key, item in value.items())
        else:
            text = _number(value)
        table.add_row({"psnr": "PSNR (dB)", "ssim": "SSIM"}.get(name, name), text)


def _parameter(value: Any) -> str:
    """A scalar, or what an array looks like."""
    if not isinstance(value, dict):
        return _number(value)
    shape = " x ".join(map(str, value["shape"]))
    if "mean" not in value:
        return f"{shape} values"
    return f"{shape} values, {_number(value['min'])} to {_number(value['max'])}, mean {_number(value['mean'])}"


def _number(value: Any, unit: str = "") -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".rstrip()
