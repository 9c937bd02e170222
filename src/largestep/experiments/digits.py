"""scikit-learn's digits, for experiments that need no PyTorch."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

__all__ = ["drawn"]


def drawn(
    seed: int, classes: Sequence[int]
) -> tuple[Float[np.ndarray, "n 64"], Int[np.ndarray, " n"]]:
    """Return all images of some classes, with pixels in [0, 1], and their labels, in random order.

    Parameters
    ----------
    seed : of the order.
    classes : digits from 0 to 9.

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the digits come with scikit-learn: pip install 'largestep[torch]'"
        ) from error
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(np.isin(labels, classes)))
    return images[order] / 16.0, labels[order]
