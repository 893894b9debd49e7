"""A bars run of ProSper for whole_job.py: `python whole_prosper.py CHECKOUT PARAMETER_FILE` in its examples."""

import runpy
import sys

import numpy as np

sys.path.insert(0, sys.argv.pop(1))

if "tsc" in sys.argv[1]:
    from prosper.em.camodels import tsc_et

    tsc_et.states = np.array([-1.0, 0.0, 1.0])  # a name in its module that its source forgot

np.seterr(all="ignore")
runpy.run_path("bars-learning.py", run_name="__main__")
