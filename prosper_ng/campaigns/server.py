"""What the server of runs does once when it imports this, so that no run it is forked for has to do it again."""

import h5py
import numpy as np
import scipy.optimize

from prosper_ng.config.loader import prepare
from prosper_ng.experiments import run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.parallel.exact_sum import ExactSum

__all__ = ["h5py", "run", "scipy"]

prepare(RunConfig)  # finds and imports all components
ExactSum([1]).add(np.zeros(1))  # the first kernel that is loaded makes numba ready
