"""What decides a number: the code that computes it, and the values that it is given."""

from largestep.provenance.closure import Closure, Sources, closure, defines
from largestep.provenance.identity import fingerprint
from largestep.provenance.origin import commit, machine, processor

__all__ = [
    "Closure",
    "Sources",
    "closure",
    "commit",
    "defines",
    "fingerprint",
    "machine",
    "processor",
]
