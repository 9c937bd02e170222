"""SGD with large step sizes learns sparse features."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "M. Andriushchenko, A. Varre, L. Pillaud-Vivien and N. Flammarion, "
    "SGD with large step sizes learns sparse features, ICML 2023",
    order=0,
    whose="the talk",
)
