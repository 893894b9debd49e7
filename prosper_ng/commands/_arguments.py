"""The arguments that all commands on a configuration share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prosper_ng.errors import UserError
from prosper_ng.paths import path_of

if TYPE_CHECKING:
    from prosper_ng.config import Loaded
    from prosper_ng.experiments.run_config import RunConfig


def path_argument(text: str) -> Path:
    """The path that an argument gives; argparse.ArgumentTypeError where it is none."""
    try:
        return path_of(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add FILE and `--set NAME=VALUE`, for `load_run_config`."""
    parser.add_argument("file", type=path_argument, metavar="FILE", help="the YAML file of a run")
    add_overrides(parser, "change a value, such as model.n_latents=64 or 'data.crop=[0, 0, 8, 8]'")


def add_overrides(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--set NAME=VALUE`, as often as wanted."""
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help=f"{what}; may be given several times",
    )


def load_run_config(arguments: argparse.Namespace) -> "Loaded[RunConfig]":
    """The configuration that the arguments ask for.

    Raises ConfigError with everything that is wrong, UserError where the file is that of a campaign.
    """
    from prosper_ng.campaigns.file_kinds import expecting
    from prosper_ng.config import load
    from prosper_ng.experiments.run_config import RunConfig

    with expecting("run", arguments.file):
        return load(arguments.file, RunConfig, arguments.overrides)
