"""`prosper-ng run` for each of the configurations named on the command line, into FOLDER/NAME: FOLDER FILE..."""

import sys
from pathlib import Path

from prosper_ng import cli

folder, *files = map(Path, sys.argv[1:])
for file in files:
    status = cli.main(["--quiet", "run", str(file), "--output", str(folder / file.stem)])
    if status:
        sys.exit(status)
