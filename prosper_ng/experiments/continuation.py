"""Whether a run folder holds the run that is to go on: the same computation on the same data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prosper_ng.config import Loaded, differences, identity
from prosper_ng.errors import UserError
from prosper_ng.experiments.assembly import Assembly
from prosper_ng.experiments.run_config import RunConfig, not_science

DATA_DIGEST = "data_digest"
"""What checkpoints and run.h5 call the digest of what the data source holds."""


def check_same(
    folder: Path, before: Mapping[str, Any], data_digest: str | None, loaded: Loaded[RunConfig], parts: Assembly
) -> str | None:
    """What the user should hear about the data of a run that goes on.

    `before` is the resolved configuration that the folder holds, `data_digest` that of its data, None where an earlier
    version kept none. Where the data hold the same rows, it does not matter where they lie and in what kind of file.
    Raises UserError where the configuration or the data are others.
    """
    now, ignored = loaded.resolved, not_science(loaded.value)
    is_same_data = data_digest == parts.data_digest and _prepared(before["data"]) == _prepared(now["data"])
    if is_same_data:
        ignored = (*ignored, "data")
    if identity(before, ignored) != identity(now, ignored):
        lines = "\n".join(f"  {line}" for line in differences(before, now, ignored))
        raise UserError(
            f"{folder} holds a run of another configuration, which differs in\n{lines}\n"
            "choose another output folder, or the configuration that the run was started with"
        )
    where = parts.dataset.where
    if data_digest is None:
        return (
            f"whether {where} still holds the rows that this run began with cannot be told: it is a run of an earlier "
            "version, which kept no digest of the data"
        )
    if not is_same_data:
        raise UserError(
            f"{folder} holds a run on other data: {where} does not hold the rows that it began with; choose another "
            "output folder, or bring these data back"
        )
    moved = differences({"data": before["data"]}, {"data": now["data"]})
    return f"the data hold the same rows as before, though {'; '.join(moved)}" if moved else None


def source_identity(config: RunConfig, resolved: Mapping[str, Any]) -> str:
    """A digest of what a configuration says of its data: runs that agree in it should have the same data."""
    seed = config.seed if config.data.depends_on_seed else None
    return identity({"data": resolved["data"], "seed": seed})[:16]


def _prepared(source: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a resolved data section says of what is done to rows."""
    kind = source.get("whiten", "none")
    return bool(source.get("remove_mean", False)), kind, None if kind == "none" else source["whiten_epsilon"]
