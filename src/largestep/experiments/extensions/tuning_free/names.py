"""What `tuning-free` runs, by name; PyTorch is not needed for that."""

from collections.abc import Mapping
from typing import Any

__all__ = [
    "CHOOSING",
    "GRIDS",
    "HELD_ADAMW",
    "HELD_HARDER",
    "HELD_SGD",
    "METHODS",
    "PROBLEMS",
    "QUANTITIES",
    "QUICK_METHODS",
    "QUICK_PROBLEMS",
    "SHARES",
    "TEXTS",
    "TYPED",
]

PROBLEMS: Mapping[str, str] = {
    "MLP": "mlp",
    "convolutions, no norm": "convolutions",
    "residual, batch norm": "residual",
    "residual, wrong labels": "wrong_labels",
    "ReLU regression": "regression",
    "autoencoder": "autoencoder",
    "GRU, adding": "recurrent",
    "transformer, ReLU": "relu_transformer",
    "transformer, GELU": "gelu_transformer",
}
"""The functions of `problems`, by what the problems are called."""

HELD_ADAMW, HELD_SGD = "HoldEdge, AdamW", "HoldEdge, SGD momentum"
HELD_HARDER = "HoldEdge at κ = 2, AdamW"
"""Added when the results of the others had been seen: nothing is claimed of it."""
TYPED = "AdamW 1e-3, cosine"

METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    HELD_ADAMW: ("held_adamw", {}),
    HELD_HARDER: ("held_at", {"kappa": 2.0}),
    HELD_SGD: ("held_sgd", {}),
    "LossStabilization, SGD": ("stabilized_sgd", {"momentum": 0.0}),
    "LossStabilization, SGD momentum": ("stabilized_sgd", {"momentum": 0.9}),
    TYPED: ("usual_adamw", {}),
    "NAdamW 1e-3, warm-up, cosine": ("usual_nadamw", {}),
    "SGD momentum 0.05, warm-up, cosine": ("usual_sgd", {}),
    "schedule-free AdamW": ("schedule_free", {}),
    "Prodigy, cosine": ("prodigy", {}),
    "layer-wise DoG, averaged": ("layerwise_dog", {}),
    "MoMo-Adam": ("momo", {}),
    "CDAT, Adam": ("cdat", {}),
}
"""The functions of `methods` and their settings: one configuration for all problems."""

GRIDS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "AdamW, grid": ("grid_adamw", (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    "SGD momentum, grid": ("grid_sgd", (0.01, 0.03, 0.1, 0.3, 1.0)),
}
"""Those of which every problem gets the step size that is best on the seeds that choose."""

CHOOSING = (900,)
"""The seeds that choose from the grids. Nothing is shown of them."""

QUICK_PROBLEMS = ("MLP", "ReLU regression", "autoencoder")
QUICK_METHODS = (HELD_ADAMW, TYPED, "Prodigy, cosine")

QUANTITIES = (
    "test_error",
    "train_loss",
    "sparsity",
    "constant",
    "diverged_at",
    "collapsed",
    "recoveries",
)
"""What a run gives. `constant` is the error of outputs that do not depend on the inputs."""

SHARES = (
    "MLP",
    "convolutions, no norm",
    "residual, batch norm",
    "residual, wrong labels",
    "GRU, adding",
)
TEXTS = ("transformer, ReLU", "transformer, GELU")
"""The problems whose errors are shares, and those where they are the loss of text."""
