"""A campaign of runs that take a moment each and end in different ways."""

import json
import tempfile
from functools import cache
from pathlib import Path

from prosper_ng import cli
from prosper_ng.campaigns.plan import CampaignPlan, freeze, keep, load_plan
from prosper_ng.storage.status import StatusFile
from tests.helpers.small_runs import SEARCH

CAMPAIGN = """
name: {name}
seed: 2
repeats: 2
base: base.yaml
sets:
  {word}: {{data.activity: 0.4}}
  plain: {{}}
grid:
  estep.n_states: [8, 16]
  set: [{word}, plain]
"""
HOSTILE = """</script><script>alert(1)</script><b onclick='x'>&{{ 7 * 7 }}"""


@cache
def make_campaign(base: Path, word: str = "word") -> CampaignPlan:
    """The plan of a campaign of 8 runs: five finished, one failed, one stopped, one that waits.

    It lies below `base`; what was made there before is not made again.
    """
    folder = Path(tempfile.mkdtemp(prefix="campaign-", dir=base))
    (folder / "base.yaml").write_text(SEARCH, encoding="utf-8")
    text = CAMPAIGN.format(name=json.dumps(f"bars {word}".replace("/", "|")), word=json.dumps(word))
    (folder / "campaign.yaml").write_text(text, encoding="utf-8")
    plan = load_plan(folder / "campaign.yaml", folder=folder / "campaign")
    keep(plan)
    for number, run in enumerate(plan.runs[:-1]):
        config = freeze(run)
        if number == 3:
            (run.folder / "stop").touch()
        status = cli.main(["--quiet", "run", str(config), "--output", str(run.folder)])
        assert status == (75 if number == 3 else 0)
    failed = plan.runs[5].folder
    StatusFile(failed).write(state="failed", iteration=7, reason=f"sweep 7: {word} fell")
    return plan
