"""The papers of the program's methods and models, for those who cite them."""

from typing import Any, NamedTuple

from prosper_ng import __version__
from prosper_ng.components import kind_of


class Paper(NamedTuple):
    """A paper, in the words of BibTeX."""

    authors: str
    """Family name, given name; several are joined by `and`."""
    title: str
    place: str
    """The journal, the proceedings or the institution."""
    year: int
    where: str = ""
    """Volume and pages."""
    arxiv: str = ""

    @property
    def text(self) -> str:
        """One line for people."""
        names = [" ".join(reversed(name.split(", "))) for name in self.authors.split(" and ")]
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        parts = [f"{self.place} {self.where}".strip(), str(self.year), self.arxiv and f"arXiv:{self.arxiv}"]
        return f"{listed}: {self.title}. {', '.join(part for part in parts if part)}."

    def bibtex(self, key: str) -> str:
        """An entry of BibTeX."""
        in_proceedings = "Conference" in self.place or self.place.startswith(("Advances", "Proceedings"))
        values = {
            "author": self.authors,
            "title": f"{{{self.title}}}",
            "booktitle" if in_proceedings else "journal": self.place or f"arXiv:{self.arxiv}",
            "year": str(self.year),
            "note": ", ".join(part for part in (self.where, self.arxiv and f"arXiv:{self.arxiv}") if part),
        }
        lines = [f"  {name} = {{{value}}}" for name, value in values.items() if value]
        return f"@{'inproceedings' if in_proceedings else 'article'}{{{key},\n" + ",\n".join(lines) + "\n}"


_JMLR = "Journal of Machine Learning Research"
_LVA = "International Conference on Latent Variable Analysis and Signal Separation"
_NIPS = "Advances in Neural Information Processing Systems"
_AISTATS = "International Conference on Artificial Intelligence and Statistics"
_CVPR = "IEEE Conference on Computer Vision and Pattern Recognition"
_TPAMI = "IEEE Transactions on Pattern Analysis and Machine Intelligence"

PAPERS = {
    "bornschein2013": Paper(
        "Bornschein, Jörg and Henniges, Marc and Lücke, Jörg",
        "Are V1 Simple Cells Optimized for Visual Occlusions? A Comparative Study",
        "PLoS Computational Biology", 2013, "9(6)",
    ),
    "boukun2025": Paper(
        "Boukun, Veranika and Lücke, Jörg",
        "Disentanglement of Sources in a Multi-Stream Variational Autoencoder", "", 2025, "", "2510.15669",
    ),
    "challis2013": Paper(
        "Challis, Edward and Barber, David", "Gaussian Kullback-Leibler Approximate Inference", _JMLR, 2013, "14"
    ),
    "dai2012": Paper(
        "Dai, Zhenwen and Lücke, Jörg",
        "Autonomous Cleaning of Corrupted Scanned Documents: A Generative Modeling Approach", _CVPR, 2012,
    ),
    "dai2014": Paper(
        "Dai, Zhenwen and Lücke, Jörg",
        "Autonomous Document Cleaning: A Generative Approach to Reconstruct Strongly Corrupted Scanned Texts",
        _TPAMI, 2014, "36(10)",
    ),
    "dempster1977": Paper(
        "Dempster, Arthur P. and Laird, Nan M. and Rubin, Donald B.",
        "Maximum Likelihood from Incomplete Data via the EM Algorithm",
        "Journal of the Royal Statistical Society, Series B", 1977, "39(1)",
    ),
    "drefs2022": Paper(
        "Drefs, Jakob and Guiraud, Enrico and Lücke, Jörg",
        "Evolutionary Variational Optimization of Generative Models", _JMLR, 2022, "23", "2012.12294",
    ),
    "exarchakis2012": Paper(
        "Exarchakis, Georgios and Henniges, Marc and Eggert, Julian and Lücke, Jörg",
        "Ternary Sparse Coding", _LVA, 2012,
    ),
    "exarchakis2017": Paper(
        "Exarchakis, Georgios and Lücke, Jörg", "Discrete Sparse Coding", "Neural Computation", 2017, "29(11)"
    ),
    "forster2018": Paper(
        "Forster, Dennis and Lücke, Jörg",
        "Can clustering scale sublinearly with its clusters? A variational EM acceleration of GMMs and k-means",
        _AISTATS, 2018, "", "1711.03431",
    ),
    "ghahramani1996": Paper(
        "Ghahramani, Zoubin and Hinton, Geoffrey E.", "The EM Algorithm for Mixtures of Factor Analyzers",
        "Technical Report CRG-TR-96-1, University of Toronto", 1996,
    ),
    "guiraud2018": Paper(
        "Guiraud, Enrico and Drefs, Jakob and Lücke, Jörg", "Evolutionary Expectation Maximization",
        "Genetic and Evolutionary Computation Conference", 2018,
    ),
    "guiraud2020": Paper(
        "Guiraud, Enrico and Drefs, Jakob and Lücke, Jörg",
        "Direct Evolutionary Optimization of Variational Autoencoders With Binary Latents", "", 2020, "", "2011.13704",
    ),
    "haft2004": Paper(
        "Haft, Michael and Hofman, Reimar and Tresp, Volker", "Generative Binary Codes",
        "Formal Pattern Analysis and Applications", 2004, "6(4)",
    ),
    "henniges2010": Paper(
        "Henniges, Marc and Puertas, Gervasio and Bornschein, Jörg and Eggert, Julian and Lücke, Jörg",
        "Binary Sparse Coding", _LVA, 2010,
    ),
    "hirschberger2022": Paper(
        "Hirschberger, Florian and Forster, Dennis and Lücke, Jörg",
        "A Variational EM Acceleration for Efficient Clustering at Very Large Scales", _TPAMI, 2022,
    ),
    "kingma2014": Paper(
        "Kingma, Diederik P. and Welling, Max", "Auto-Encoding Variational Bayes",
        "International Conference on Learning Representations", 2014, "", "1312.6114",
    ),
    "luecke2008": Paper(
        "Lücke, Jörg and Sahani, Maneesh", "Maximal Causes for Non-linear Component Extraction", _JMLR, 2008, "9"
    ),
    "luecke2010": Paper(
        "Lücke, Jörg and Eggert, Julian",
        "Expectation Truncation and the Benefits of Preselection in Training Generative Models", _JMLR, 2010, "11",
    ),
    "luecke2012": Paper(
        "Lücke, Jörg and Sheikh, Abdul-Saboor",
        "Closed-Form EM for Sparse Coding and Its Application to Source Separation", _LVA, 2012,
    ),
    "luecke2016": Paper(
        "Lücke, Jörg", "Truncated Variational Expectation Maximization", "", 2016, "", "1610.03113"
    ),
    "luecke2018": Paper(
        "Lücke, Jörg and Dai, Zhenwen and Exarchakis, Georgios",
        "Truncated Variational Sampling for 'Black Box' Optimization of Generative Models",
        _LVA, 2018, "", "1712.08104",
    ),
    "luecke2019": Paper(
        "Lücke, Jörg and Forster, Dennis", "k-means as a variational EM approximation of Gaussian mixture models",
        "Pattern Recognition Letters", 2019, "125", "1704.02812",
    ),
    "mousavi2023": Paper(
        "Mousavi, Hamid and Drefs, Jakob and Hirschberger, Florian and Lücke, Jörg",
        "Generic Unsupervised Optimization for a Latent Variable Model With Exponential Family Observables",
        _JMLR, 2023, "24", "2003.02214",
    ),
    "neal1992": Paper(
        "Neal, Radford M.", "Connectionist Learning of Belief Networks", "Artificial Intelligence", 1992, "56"
    ),
    "olshausen1996": Paper(
        "Olshausen, Bruno A. and Field, David J.",
        "Emergence of Simple-Cell Receptive Field Properties by Learning a Sparse Code for Natural Images",
        "Nature", 1996, "381",
    ),
    "puertas2010": Paper(
        "Puertas, Gervasio and Bornschein, Jörg and Lücke, Jörg",
        "The Maximal Causes of Natural Scenes are Edge Filters", _NIPS, 2010, "23",
    ),
    "saul1996": Paper(
        "Saul, Lawrence K. and Jaakkola, Tommi and Jordan, Michael I.", "Mean Field Theory for Sigmoid Belief Networks",
        "Journal of Artificial Intelligence Research", 1996, "4",
    ),
    "sheikh2014": Paper(
        "Sheikh, Abdul-Saboor and Shelton, Jacquelyn A. and Lücke, Jörg",
        "A Truncated EM Approach for Spike-and-Slab Sparse Coding", _JMLR, 2014, "15",
    ),
    "singliar2006": Paper(
        "Šingliar, Tomáš and Hauskrecht, Miloš", "Noisy-OR Component Analysis and its Application to Link Analysis",
        _JMLR, 2006, "7",
    ),
    "tipping1999": Paper(
        "Tipping, Michael E. and Bishop, Christopher M.", "Mixtures of Probabilistic Principal Component Analyzers",
        "Neural Computation", 1999, "11(2)",
    ),
    "velychko2024": Paper(
        "Velychko, Dmytro and Damm, Simon and Fischer, Asja and Lücke, Jörg",
        "Learning Sparse Codes with Entropy-Based ELBOs", _AISTATS, 2024, "", "2311.01888",
    ),
}  # fmt: skip

MODELS = {
    "bsc": ("haft2004", "henniges2010"),
    "bvae": ("guiraud2020",),
    "dsc": ("exarchakis2017",),
    "ef_mca": ("mousavi2023",),
    "glyphs": ("dai2012", "dai2014"),
    "gsc": ("luecke2012", "sheikh2014"),
    "laplace": ("olshausen1996", "velychko2024"),
    "mca": ("luecke2008", "puertas2010"),
    "mfa": ("ghahramani1996", "tipping1999"),
    "mixture": ("dempster1977", "luecke2019"),
    "mmca": ("bornschein2013",),
    "noisy_or": ("singliar2006", "guiraud2018"),
    "sbn": ("neal1992", "saul1996"),
    "streams": ("boukun2025",),
    "tsc": ("exarchakis2012",),
}
"""Those of each kind of model."""
ESTEPS: dict[str, tuple[str, ...]] = {
    "amortized": ("kingma2014",),
    "clusters": ("forster2018", "hirschberger2022"),
    "exhaustive": (),
    "gaussian": ("challis2013", "velychko2024"),
    "preselection": ("luecke2010",),
    "search": ("luecke2016",),
}
"""Those of each E-step; sums over all states need none."""
VARIATIONS: dict[str, tuple[str, ...]] = {
    "evolution": ("guiraud2018", "drefs2022"),
    "neighborhood": (),
    "preselection": ("luecke2010",),
    "sampling": ("luecke2018",),
}
"""Those of each variation of a search, besides the search's own."""


_PROGRAM = f"""@software{{prosper_ng,
  author = {{{{The prosper_ng developers}}}},
  title = {{prosper_ng: probabilistic sparse coding with truncated variational EM}},
  version = {{{__version__}}}
}}"""


def citation(model: Any, estep: Any) -> str:
    """What to cite for what a model learned by an E-step: a line for each paper with its reason, then all as BibTeX."""
    parts = [("model", model, MODELS), ("E-step", estep, ESTEPS)]
    parts += [("variation", each, VARIATIONS) for each in getattr(estep, "variations", ())]
    reasons: dict[str, list[str]] = {}
    unknown = []
    for what, part, table in parts:
        name = f"{what} {kind_of(part)}"
        if kind_of(part) not in table:
            unknown.append(f"{name}: a plug-in; its authors know what to cite")
        for key in table.get(kind_of(part), ()):
            reasons.setdefault(key, []).append(name)
    lines = [f"program: prosper_ng {__version__}, the prosper_ng developers"]
    lines += [f"{', '.join(names)}: {PAPERS[key].text}" for key, names in reasons.items()]
    entries = [_PROGRAM, *(PAPERS[key].bibtex(key) for key in reasons)]
    return "\n".join([*lines, *unknown, "", *entries])
