"""Large steps against spurious correlations."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "M. Barsbey, L. Prieto, S. Zafeiriou and T. Birdal, Large learning rates simultaneously "
    "achieve robustness to spurious correlations and compressibility, ICCV 2025",
    order=23,
)
