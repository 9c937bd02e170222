"""Smaller models that compute the same: what large steps leave over, taken out."""

from largestep.deep.compaction.report import CompactedLayer, CompactionReport, Difference
from largestep.deep.compaction.search import compact

__all__ = ["CompactedLayer", "CompactionReport", "Difference", "compact"]
