"""`prosper-ng` with one more E-step, `kind: walking`: ARGUMENTS..."""

import sys
from pathlib import Path

from prosper_ng import cli
from prosper_ng.environment import prepare_environment

prepare_environment()

from prosper_ng.components import components_of  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.helpers.walking import Walking  # noqa: E402

components_of("prosper_ng.estep")["walking"] = Walking
sys.exit(cli.main(sys.argv[1:]))
