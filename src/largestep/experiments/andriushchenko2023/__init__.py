"""SGD with large step sizes learns sparse features."""

from largestep.experiments.andriushchenko2023.slides import SLIDES
from largestep.experiments.experiment import Paper

PAPER = Paper(
    "M. Andriushchenko, A. Varre, L. Pillaud-Vivien and N. Flammarion, "
    "SGD with large step sizes learns sparse features, ICML 2023",
    order=0,
    whose="the talk",
    links={
        "arXiv:2210.05337": "https://arxiv.org/abs/2210.05337",
        "doi:10.48550/arXiv.2210.05337": "https://doi.org/10.48550/arXiv.2210.05337",
        "the authors' code": "https://github.com/tml-epfl/sgd-sparse-features",
    },
    slides=SLIDES,
)
