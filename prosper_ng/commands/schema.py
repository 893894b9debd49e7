"""`prosper-ng schema`: what a configuration may say, for editors."""

import argparse

HELP = "print the JSON Schema of run configurations, for editors that check and complete YAML"


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(arguments: argparse.Namespace) -> int:
    """0; the schema goes to standard output."""
    import json

    from prosper_ng.config import json_schema
    from prosper_ng.experiments.run_config import RunConfig

    print(json.dumps(json_schema(RunConfig), indent=2))
    return 0
