"""What a campaign's file comes to: its runs, each with identity, seed and folder."""

import contextlib
import hashlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prosper_ng import plugins
from prosper_ng.campaigns import kept_plan
from prosper_ng.campaigns.expansion import MOST_POINTS, Assignment, Fault, canonical, expand
from prosper_ng.campaigns.kept_plan import KeptPlan, KeptRun
from prosper_ng.campaigns.points import BASE, Campaign, Points, read_campaign, value_at
from prosper_ng.config import ConfigError, Loaded, annotated_yaml, differences, identity
from prosper_ng.config.canonical import entries_of, inline
from prosper_ng.config.loader import DEFAULT
from prosper_ng.config.mistakes import Mistake
from prosper_ng.errors import UserError
from prosper_ng.parallel.launcher import own_mpiexec
from prosper_ng.paths import as_argument, name_from
from prosper_ng.storage import atomic

if TYPE_CHECKING:
    from prosper_ng.experiments.run_config import RunConfig

RUNS = "runs"
"""The folder of all run folders, within that of the campaign."""
CONFIG_FILE = "config.yaml"
"""The configuration of a run, in its folder."""
_ID_LENGTH, _SEED_LENGTH = 12, 8
_ENOUGH_MISTAKES = 20
_LONGEST = 40
"""Characters of a value in a title."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a campaign."""

    id: str
    """The first 12 hex digits of the identity of what it computes."""
    point: dict[str, Any]
    """What differs between points, by axis."""
    repeat: int
    """0 for the first run of its point."""
    seed: int
    n_sweeps: int
    """Sweeps that are wanted."""
    folder: Path
    n_ranks: int
    load: Callable[[], "Loaded[RunConfig]"] = field(repr=False, compare=False)
    """Makes `loaded`."""

    @cached_property
    def loaded(self) -> "Loaded[RunConfig]":
        """The checked configuration; the origins of values that the campaign gave name its file, line and axis."""
        return self.load()

    @property
    def title(self) -> str:
        """What it is among the runs of its campaign, for people."""
        return title_of(self.point, self.repeat)


@dataclass(frozen=True)
class CampaignPlan:
    """All runs of a campaign."""

    name: str
    path: Path
    """The campaign's file."""
    folder: Path
    axes: tuple[str, ...]
    """Names of what differs between points."""
    runs: tuple[PlannedRun, ...]
    n_merged: int = 0
    """Runs that were asked for more than once, as where blocks of a sum meet."""
    kept: KeptPlan | None = field(default=None, repr=False, compare=False)
    """What `keep` writes."""


def load_plan(path: Path, overrides: Sequence[str] = (), folder: Path | None = None) -> CampaignPlan:
    """The plan of a campaign's file, changed by overrides such as `repeats=2`.

    Of a campaign's folder, it is the plan that is kept there. Files are read, none is written. Raises ConfigError with
    file, line and column of everything that is wrong.
    """
    if os.path.isdir(path):
        return _kept_in(path)
    campaign = read_campaign(path, overrides)
    folder = folder or campaign.config.place
    kept, points = kept_plan.read(folder), Points(campaign)
    if kept is None or kept.stamp != kept_plan.stamp_of(campaign.tree, kept.bases):
        with _naming_missing(folder, kept):
            kept = _made(campaign, points)
    source = _Source(campaign, points)
    runs = tuple(_run_of(each, folder, partial(source.load, each)) for each in kept.runs)
    return CampaignPlan(kept.name, path, folder, kept.axes, runs, kept.n_merged, kept)


def keep(plan: CampaignPlan) -> None:
    """Write the plan into the campaign's folder, unless it is there."""
    if plan.kept is not None and kept_plan.read(plan.folder) != plan.kept:
        kept_plan.write(plan.folder, plan.kept)


def freeze(run: PlannedRun) -> Path:
    """Write the configuration of a run into its folder, and say where."""
    path, loaded = run.folder / CONFIG_FILE, run.load()
    header = f"# {loaded.value.name}; written by prosper-ng campaign, which writes it anew\n"
    text = header + annotated_yaml(loaded.resolved, loaded.origins) + "\n"
    run.folder.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        atomic.write_text(path, text)
    return path


def command_of(run: PlannedRun) -> list[str]:
    """The command that runs it on this machine, once its configuration is frozen."""
    program = [sys.executable, "-m", "prosper_ng", "run", as_argument(run.folder / CONFIG_FILE)]
    launcher = [*_mpiexec(), "-n", str(run.n_ranks)] if run.n_ranks > 1 else []
    place = ["--output", as_argument(run.folder), "--ranks", str(run.n_ranks), "--quiet"]
    return [*launcher, *program, *place, *plugins.arguments()]


def by_point(runs: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """The runs of each point, in the order of the first ones."""
    points: dict[str, list[PlannedRun]] = {}
    for run in runs:
        points.setdefault(str(run.point), []).append(run)
    return list(points.values())


def title_of(point: dict[str, Any], repeat: int) -> str:
    """A point and its repeat, for people."""
    texts = {axis: inline(value) for axis, value in point.items()}
    short = [f"{axis}={text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}" for axis, text in texts.items()]
    return ", ".join([*short, f"repeat {repeat}"])


def _name_of(campaign: str, run: KeptRun) -> str:
    """What a run of a campaign is called in its configuration."""
    return name_from(f"{campaign}: {title_of(run.point, run.repeat)}")


def _mpiexec() -> list[str]:
    """The launcher of the MPI library in this environment, else the one on the path."""
    given = shlex.split(os.environ.get("PROSPER_NG_MPIEXEC", ""))
    return given or [own_mpiexec() or "mpiexec"]


def _run_of(kept: KeptRun, folder: Path, load: Callable[[], "Loaded[RunConfig]"]) -> PlannedRun:
    place = folder / RUNS / kept.id
    return PlannedRun(kept.id, kept.point, kept.repeat, kept.seed, kept.n_sweeps, place, kept.n_ranks, load)


def _kept_in(folder: Path) -> CampaignPlan:
    from prosper_ng.config import load
    from prosper_ng.experiments.run_config import RunConfig

    kept = kept_plan.read(folder)
    if kept is None:
        raise UserError(f"{folder} is not the folder of a campaign: it holds no {kept_plan.NAME} that can be read")

    def load_kept(run: KeptRun) -> "Loaded[RunConfig]":
        path = folder / RUNS / run.id / CONFIG_FILE
        with _naming_missing(folder, kept):
            # Earlier versions have written names that are none any more.
            return load(path, RunConfig, [f"name={json.dumps(_name_of(kept.name, run))}"])

    runs = tuple(_run_of(each, folder, partial(load_kept, each)) for each in kept.runs)
    return CampaignPlan(kept.name, Path(kept.path), folder, kept.axes, runs, kept.n_merged, kept)


@contextlib.contextmanager
def _naming_missing(folder: Path, kept: KeptPlan | None) -> Iterator[None]:
    """Add to errors in configurations which plug-ins the plan was made with before and is without now."""
    try:
        yield
    except ConfigError as error:
        known = plugins.arguments()
        for file in kept.imports if kept is not None else ():
            if file not in known:
                error.add_note(f"the campaign in {folder} was planned with --import {file}, which is not given now")
        raise


class _Source:
    """Makes the configurations of planned runs when they are asked for."""

    def __init__(self, campaign: Campaign, points: Points) -> None:
        self.campaign, self.points = campaign, points

    @cached_property
    def assignments(self) -> list[Assignment]:
        return expand(self.campaign.config).points

    def load(self, kept: KeptRun) -> "Loaded[RunConfig]":
        """The configuration of a run: that of its point, with name and seed, and no pictures unless wanted."""
        loaded = self.points.loaded(self.assignments[kept.number])
        value, resolved, origins = loaded.value, dict(loaded.resolved), dict(loaded.origins)
        name = _name_of(self.campaign.config.name, kept)
        figures = value.output.figures and origins["output.figures"] != DEFAULT
        value = replace(value, name=name, seed=kept.seed, output=replace(value.output, figures=figures))
        resolved |= {"name": name, "seed": kept.seed, "output": resolved["output"] | {"figures": figures}}
        origins["name"] = f"{self.campaign.path}, point and repeat"
        if not self.points.gives_seed(self.assignments[kept.number]):
            origins["seed"] = f"derived from seed {self.campaign.config.seed} of {self.campaign.path}, point and repeat"
        return Loaded(value, resolved, origins, "", loaded.left_open)


def _made(campaign: Campaign, points: Points) -> KeptPlan:
    """The plan of a campaign whose every configuration was checked."""
    assignments, faults = expand(campaign.config)
    if not faults and len(assignments) * campaign.config.repeats > MOST_POINTS:
        faults = [Fault(("repeats",), f"this makes more than {MOST_POINTS:,} runs")]
    if faults:
        raise campaign.error(faults)
    loaded = _all_loaded(assignments, points)
    faults = _repeated_seeds(campaign, assignments, points)
    if faults:
        raise campaign.error(faults)
    axes = _axes(assignments)
    labels = _base_labels([points.base_of(point) for point in assignments])
    runs: dict[str, tuple[KeptRun, Loaded[RunConfig]]] = {}
    n_merged = 0
    for number, (assignment, found) in enumerate(zip(assignments, loaded, strict=True)):
        point = {axis: _shown(axis, assignment, found, labels[number]) for axis in axes}
        for each in _repeats(campaign, points.gives_seed(assignment), number, point, found):
            before = runs.setdefault(each.id, (each, found))
            if before[0] is not each:
                _require_equal(campaign, before, (each, found))
                n_merged += 1
    stamp = kept_plan.stamp_of(campaign.tree, sorted(points.texts))
    kept = tuple(run for run, _ in runs.values())
    bases, imports = tuple(sorted(points.texts)), tuple(plugins.arguments()[1::2])
    return KeptPlan(stamp, campaign.config.name, str(campaign.path), bases, axes, n_merged, kept, imports)


def _all_loaded(assignments: Sequence[Assignment], points: Points) -> "list[Loaded[RunConfig]]":
    """The configurations of all points. Raises ConfigError with what is wrong in any of them, each thing once."""
    loaded: list[Loaded[RunConfig]] = []
    mistakes: dict[tuple[str, str], Mistake] = {}
    for assignment in assignments:
        try:
            loaded.append(points.loaded(assignment))
        except ConfigError as error:
            for mistake in error.mistakes:
                mistakes.setdefault((str(mistake.place), mistake.message), mistake)
            if len(mistakes) >= _ENOUGH_MISTAKES:
                break
    if mistakes:
        raise ConfigError(mistakes.values())
    return loaded


def _repeated_seeds(campaign: Campaign, assignments: Sequence[Assignment], points: Points) -> list[Fault]:
    if campaign.config.repeats == 1:
        return []
    for point in assignments:
        if points.gives_seed(point):
            where = point["seed"].where if "seed" in point else ("repeats",)
            message = f"with `seed` given, {campaign.config.repeats} repeats would be one and the same run"
            return [Fault(where, f"{message}; leave `seed` or `repeats` out")]
    return []


def _axes(assignments: Sequence[Assignment]) -> tuple[str, ...]:
    """The keys that not all points agree on, in the order of writing."""
    keys = dict.fromkeys(key for point in assignments for key in point)
    values = {key: {canonical(point[key].value) if key in point else None for point in assignments} for key in keys}
    return tuple(key for key in keys if len(values[key]) > 1 and key != "seed")


def _base_labels(bases: Sequence[str | None]) -> list[str | None]:
    """The bases as people call them: by the name of the file where that is enough."""
    stems = {base: Path(base).stem for base in bases if base is not None}
    is_enough = len(set(stems.values())) == len(stems)
    return [stems[base] if base is not None and is_enough else base for base in bases]


def _shown(axis: str, assignment: Assignment, loaded: "Loaded[RunConfig]", base: str | None) -> Any:
    """The value of a point on an axis: what its configuration says where only other blocks have the axis.

    None where that is a whole section.
    """
    if axis == BASE:
        return base
    if axis in assignment:
        return assignment[axis].value
    found = value_at(loaded.resolved, axis)
    return None if entries_of(found) is not None else found


def _repeats(
    campaign: Campaign, gives_seed: bool, number: int, point: dict[str, Any], loaded: "Loaded[RunConfig]"
) -> list[KeptRun]:
    """The runs of a point. A seed is a function of campaign seed, point and repeat, never of places in lists."""
    from prosper_ng.experiments.run_config import not_science

    config, ignored = campaign.config, not_science(loaded.value)
    of_point = "" if config.seeds == "shared" else identity(loaded.lasting, (*ignored, "seed"))
    runs = []
    for repeat in range(config.repeats):
        digest = hashlib.sha256(f"{config.seed}/{of_point}/{repeat}".encode()).hexdigest()
        seed = loaded.value.seed if gives_seed else int(digest[:_SEED_LENGTH], 16)
        full = identity(loaded.lasting | {"seed": seed}, ignored)
        n_sweeps = loaded.value.training.all_sweeps
        runs.append(KeptRun(full[:_ID_LENGTH], point, repeat, seed, n_sweeps, config.ranks, number))
    return runs


def _require_equal(
    campaign: Campaign, a: "tuple[KeptRun, Loaded[RunConfig]]", b: "tuple[KeptRun, Loaded[RunConfig]]"
) -> None:
    """Raise UserError unless two runs of one identity are the same in everything."""
    lines = differences(a[1].resolved, b[1].resolved, ("seed",))
    if lines:
        titles = " and ".join(f"`{title_of(run.point, run.repeat)}`" for run, _ in (a, b))
        raise UserError(
            f"{campaign.path}: the runs {titles} would compute the same and share a folder; they differ only in "
            f"{'; '.join(lines)}, which is no part of what is computed"
        )
