"""`prosper-ng validate FILE`: check a configuration without running it."""

import argparse

from prosper_ng.commands._arguments import add_config_arguments, load_run_config
from prosper_ng.components import kind_of

HELP = "check the configuration of a run, and show it with all defaults"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)
    parser.add_argument(
        "--verbose", action="store_true", help="print the complete configuration, with the origin of each value"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 where the configuration is valid. Raises ConfigError with everything that is wrong."""
    loaded = load_run_config(arguments)
    if arguments.verbose:
        from prosper_ng.config import annotated_yaml

        print(f"# {arguments.file}: valid")
        print(annotated_yaml(loaded.resolved, loaded.origins))
    elif not getattr(arguments, "quiet", False):
        print(f"{arguments.file}: valid")
    if kind_of(loaded.value.estep) == "auto" and not getattr(arguments, "quiet", False):
        print(f"estep auto: {loaded.value.learning.chosen_estep.reason}")
    return 0
