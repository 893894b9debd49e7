"""`prosper-ng` with a model that the package does not have, of rows of zeros and ones."""

import sys

from prosper_ng import cli
from tests.helpers.coins import known_to_configurations

with known_to_configurations():
    sys.exit(cli.main(sys.argv[1:]))
