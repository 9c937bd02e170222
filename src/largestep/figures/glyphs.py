"""Contact sheets: what the images of a data set look like, class by class."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8
from matplotlib.figure import Figure

from largestep import _checks
from largestep.figures.style import figure

__all__ = ["draw_contact_sheet"]


def draw_contact_sheet(
    images: UInt8[np.ndarray, "n channels height width"],
    labels: Int64[np.ndarray, " n"],
    names: Sequence[str] | None = None,
    *,
    each: int = 16,
) -> Figure:
    """Draw the first images of every class, a row for each.

    Parameters
    ----------
    images : as bytes, grey or in three colours, as a data set has them.
    labels : their classes.
    names : of the classes, to the left of the rows; by default their numbers.
    each : how many of a class; a place stays white where a class has fewer.

    Raises
    ------
    ValueError
        If there are no images, or they have neither one nor three channels.
    """
    each = _checks.integer("each", each, at_least=1)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(f"images must have shape (n, 1 or 3, height, width), got {images.shape}")
    classes = np.unique(labels)
    _, channels, height, width = images.shape
    # One white pixel between neighbours.
    sheet = np.full((len(classes), height + 1, each, width + 1, channels), 255, dtype=np.uint8)
    for row, label in enumerate(classes):
        chosen = images[labels == label][:each].transpose(0, 2, 3, 1)
        sheet[row, :height, : len(chosen), :width] = chosen.transpose(1, 0, 2, 3)
    side = 0.3
    drawing, (ax,) = figure(1, 1, size=(side * each + 0.6, side * len(classes) + 0.4))
    flat = sheet.reshape(len(classes) * (height + 1), each * (width + 1), channels)
    ax.imshow(flat.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks(
        (np.arange(len(classes)) + 0.5) * (height + 1),
        [str(c) if names is None else names[c] for c in classes],
    )
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return drawing
