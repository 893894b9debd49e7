# What type checkers see of the names that `__init__.py` imports only when they are used.

from prosper_ng.components import plugin as plugin
from prosper_ng.experiments.run import Outcome as Outcome
from prosper_ng.inference.answers import Posterior as Posterior
from prosper_ng.inference.learned import Learned as Learned
from prosper_ng.inference.stored import load as load
from prosper_ng.running.learn import learn as learn
from prosper_ng.running.restore import restore as restore
from prosper_ng.running.run import run as run

IMPORTED_AT: float
__version__: str
