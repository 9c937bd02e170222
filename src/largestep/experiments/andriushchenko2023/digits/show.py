"""What `digits` claims, and how it is drawn."""

from largestep.experiments.andriushchenko2023.digits.compute import NETWORKS
from largestep.experiments.deep_phases import claims, draw

__all__ = ["CLAIMS", "draw"]

CLAIMS = claims(NETWORKS)
