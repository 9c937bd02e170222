"""What `glyphs-32` claims, and how it is drawn."""

from dataclasses import replace

from largestep.experiments.andriushchenko2023.glyphs_32.compute import NETWORKS
from largestep.experiments.deep_phases import claims_on, draw

__all__ = ["CLAIMS", "draw"]

CLAIMS = tuple(
    replace(claim, sentence=f"{name}, {setting}: {claim.sentence}")
    for name, networks in NETWORKS.items()
    for setting in networks.settings
    for claim in claims_on(f"{name}/{setting}")
)
