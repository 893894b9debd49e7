"""`prosper-ng schema`: what a configuration may say, for editors."""

import argparse

HELP = "print the JSON Schema of configurations, for editors that check and complete YAML"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--campaign", action="store_true", help="that of a campaign's file, instead of a run's")


def run(arguments: argparse.Namespace) -> int:
    """0; the schema goes to standard output."""
    import json

    from prosper_ng.campaigns.campaign_config import CampaignConfig
    from prosper_ng.config import json_schema
    from prosper_ng.experiments.run_config import RunConfig

    print(json.dumps(json_schema(CampaignConfig if arguments.campaign else RunConfig), indent=2))
    return 0
