"""The models as estimators of scikit-learn: `from prosper_ng.estimators import GSC`. Needs the extra `sklearn`.

Each learns with the engine of `prosper_ng.learn`, so that it gives the same bits for the same data, settings and seed.
"""

from prosper_ng.estimators.classifier import MixtureClassifier
from prosper_ng.estimators.mixtures import MFA, GaussianMixture, KMeans, Mixture
from prosper_ng.estimators.sparse_coder import SparseCoder

__all__ = [
    "BSC",
    "DSC",
    "EFMCA",
    "GSC",
    "MCA",
    "MFA",
    "MMCA",
    "SBN",
    "TSC",
    "BinaryVAE",
    "GaussianMixture",
    "KMeans",
    "Laplace",
    "Mixture",
    "MixtureClassifier",
    "NoisyOR",
    "SparseCoder",
    "Streams",
]  # fmt: skip


class BSC(SparseCoder, kind="bsc"):
    """Binary Sparse Coding: latents that are active or not, and add up."""


class TSC(SparseCoder, kind="tsc"):
    """Ternary Sparse Coding: latents -1, 0 or 1 that add up."""


class DSC(SparseCoder, kind="dsc", values=(-1.0, 0.0, 1.0)):
    """Discrete Sparse Coding: latents with values from any finite alphabet that add up."""


class MCA(SparseCoder, kind="mca"):
    """Maximal Causes Analysis: of binary latents the largest shows in each entry of non-negative data."""


class MMCA(SparseCoder, kind="mmca"):
    """Maximum Magnitude Causes Analysis: of binary latents that of largest magnitude shows in each entry."""


class EFMCA(SparseCoder, kind="ef_mca", observable="normal"):
    """Maximal causes of any observable: of binary latents that of largest mean shows in each entry.

    `observable` is normal, poisson, bernoulli, exponential, gamma or beta.
    """


class GSC(SparseCoder, kind="gsc"):
    """Gaussian, or spike-and-slab, Sparse Coding: binary latents with Gaussian amplitudes that add up."""


class Laplace(SparseCoder, kind="laplace"):
    """Standard sparse coding: real-valued latents with a Laplace prior, and Gaussian posteriors of these."""


class BinaryVAE(SparseCoder, kind="bvae", optimizer=None, max_iter=200):
    """An autoencoder with binary latents: a perceptron with `hidden` layers makes the mean of the data of them.

    It learns by a step along the gradient in each of the `n_updates` of a sweep; where rows are many, many are worth
    it. `optimizer` is a mapping with `rate`, `least_rate` and `cycle`; their defaults where None. `components_` are
    what each latent alone adds to what none makes.
    """


class Streams(SparseCoder, kind="streams", optimizer=None, max_iter=200, fixed={"n_classes": None}):
    """Autoencoders that add up: each has a switch, and real-valued latents whose posteriors come from an encoder.

    It learns by a step along the gradient in each of the `n_updates` of a sweep. `optimizer` is a mapping with `rate`,
    `least_rate` and `cycle`; their defaults where None. `components_` are what streams make of the mean of their prior.
    """


class NoisyOR(SparseCoder, kind="noisy_or", binarize=0.0):
    """Noisy-OR: binary latents, each of which can switch on entries of binary data.

    What is above `binarize` counts as on, as in `sklearn.naive_bayes.BernoulliNB`; None where the data are 0 and 1.
    """


class SBN(SparseCoder, kind="sbn", binarize=0.0):
    """Sigmoid belief nets: binary latents of one or two layers, whose weighted sums are log odds of binary data.

    What is above `binarize` counts as on, as in `sklearn.naive_bayes.BernoulliNB`; None where the data are 0 and 1.
    """
