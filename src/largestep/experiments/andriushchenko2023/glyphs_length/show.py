"""What `glyphs-length` claims, and how it is drawn."""

from largestep.experiments.andriushchenko2023.glyphs.show import claims_on
from largestep.experiments.andriushchenko2023.glyphs_length.compute import RUN
from largestep.experiments.deep_phases import draw

__all__ = ["CLAIMS", "draw"]

CLAIMS = tuple(claims_on(RUN, lengths=(0, 2)))
