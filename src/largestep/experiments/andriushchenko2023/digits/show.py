"""What `digits` claims, and how it is drawn."""

from largestep.experiments.andriushchenko2023.digits.compute import NETWORKS
from largestep.experiments.deep_phases import claims, draw
from largestep.experiments.experiment import Caption
from largestep.figures.curves import BANDS

__all__ = ["CAPTIONS", "CLAIMS", "draw"]

CAPTIONS = {
    "figure": Caption(
        (
            "A residual network on digits: a, training loss; b, test error; c, d, feature "
            "sparsity of the last two stages; e, step size; f, where every seed ends."
        )
        + BANDS,
        "Six panels over 600 steps. With large steps of any length the last stage's "
        "features are half as dense as with small ones, at a slightly lower test error; "
        "LossStabilization comes close to them.",
    ),
}

CLAIMS = claims(NETWORKS)
