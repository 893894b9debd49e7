"""Campaigns of runs that take a moment each."""

from pathlib import Path

from prosper_ng.campaigns.plan import CampaignPlan, load_plan
from tests.helpers.small_runs import SEARCH

BASE = SEARCH.replace("n_sweeps: 12", "n_sweeps: 6")


def write_campaign(folder: Path, text: str, base: str = BASE) -> Path:
    """The file of a campaign that builds on `base.yaml` beside it."""
    (folder / "base.yaml").write_text(base, encoding="utf-8")
    path = folder / "campaign.yaml"
    path.write_text(f"name: trial\nbase: base.yaml\n{text}", encoding="utf-8")
    return path


def planned(folder: Path, text: str, base: str = BASE) -> CampaignPlan:
    """The plan of such a campaign, in the folder `out` beside its file."""
    return load_plan(write_campaign(folder, text, base), folder=folder / "out")
