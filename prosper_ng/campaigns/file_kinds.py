"""Tells the file of a run from that of a campaign."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Literal

from prosper_ng.config import ConfigError
from prosper_ng.config.loader import read_file
from prosper_ng.config.tree import MappingNode
from prosper_ng.config.yaml_reader import read_yaml
from prosper_ng.errors import UserError

Kind = Literal["run", "campaign"]

_WHAT_TO_DO: dict[Kind, str] = {
    "run": "{0} is the configuration of a single run, and a campaign is wanted: "
    "prosper-ng run {0} runs it, and a campaign may have it as its base",
    "campaign": "{0} describes a campaign, and a single run is wanted: "
    "prosper-ng campaign plan {0} shows its runs, and prosper-ng campaign run {0} runs them",
}


def kind_of_file(path: Path) -> Kind | None:
    """What a YAML file describes by the names of its fields; None where they do not tell, or it cannot be read."""
    from prosper_ng.campaigns.campaign_config import CampaignConfig
    from prosper_ng.experiments.run_config import RunConfig

    try:
        root = read_yaml(read_file(path), [])
    except ConfigError:
        return None
    names = set(root.items) if isinstance(root, MappingNode) else set()
    of_run, of_campaign = ({field.name for field in fields(kind)} for kind in (RunConfig, CampaignConfig))
    in_run, in_campaign = len(names & (of_run - of_campaign)), len(names & (of_campaign - of_run))
    if in_run == in_campaign:
        return None
    return "run" if in_run > in_campaign else "campaign"


@contextmanager
def expecting(kind: Kind, path: Path) -> Iterator[None]:
    """Say in one sentence, in place of all its unknown fields, that a file is of the other kind."""
    try:
        yield
    except ConfigError:
        found = kind_of_file(path)
        if found is None or found == kind:
            raise
        raise UserError(_WHAT_TO_DO[found].format(path)) from None


def refuse_campaign(path: Path) -> None:
    """Raise UserError, which names the command that is meant, where a run is wanted and a path leads to a campaign, or
    to the configuration of a run in place of its folder.
    """
    from prosper_ng.campaigns.kept_plan import NAME

    folders = [path, path.parent] if os.path.isdir(path) else []
    campaign = next((folder for folder in folders if os.path.isfile(folder / NAME)), None)
    kind = kind_of_file(path) if campaign is None and path.suffix.lower() in (".yaml", ".yml") else None
    if campaign is not None or kind == "campaign":
        place = path if campaign is None else campaign
        raise UserError(
            f"{path} is that of a campaign, and a single run is wanted: prosper-ng campaign status {place} shows how "
            "its runs stand, each in a folder of its own"
        )
    if kind == "run":
        raise UserError(f"{path} is the configuration of a run; name the folder of the run, runs/NAME by default")
