"""What `sensitivity` computes."""

import math
from typing import TYPE_CHECKING

import xarray as xr

from largestep.experiments.budget import Budget
from largestep.experiments.li2023.transformer.compute import TEXT
from largestep.experiments.trainings import run_all
from largestep.schedules import linear, piecewise
from largestep.store import Results

if TYPE_CHECKING:
    from torch import Tensor, nn

    from largestep.deep.data import Sequences
    from largestep.deep.training import Trained, Training

STEP_SIZES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
PLAIN, NORMALISED = "plain", "normalised"
NETWORKS = {PLAIN: False, NORMALISED: True}


def schedules(qk_norm: bool) -> "dict[str, Training]":
    """Return what is trained, by step size."""
    from largestep.deep.training import Training

    def train(step_size: float) -> Training:
        rises, falls = linear(0.0, step_size, until=0.1), linear(step_size / 0.9, 0.0)
        return Training(
            "transformer",
            piecewise({0.0: rises, 0.1: falls}),
            epochs=1,
            batch_size=16,
            model_settings={"width": 32, "heads": 2, "qk_norm": qk_norm},
            optimizer="Adam",
            optimizer_settings={"betas": (0.9, 0.95)},
            evaluations=1,
            examples=64,
        )

    return {f"{step_size:g}": train(step_size) for step_size in STEP_SIZES}


def compute(budget: Budget) -> Results:
    """Return the training runs without and with normalised queries and keys."""
    from largestep.deep import data

    text = data.load(TEXT)
    return Results.from_dict(
        {
            name: run_all(f"sensitivity, {name}", budget, schedules(qk_norm), text, measured)
            for name, qk_norm in NETWORKS.items()
        }
    )


def measured(trained: "Trained", settings: "Training", data: "Sequences") -> xr.Dataset:
    """Return what was recorded, and the largest logit of attention."""
    logit = largest_logit(trained.model, data.x_test)
    attributes = {"long_name": "largest attention logit"}
    return trained.results.assign(largest_logit=xr.DataArray(logit, attrs=attributes))


def largest_logit(model: "nn.Module", tokens: "Tensor") -> float:
    """Return the largest absolute logit of all blocks and heads; NaN where one is not finite."""
    import torch

    largest = 0.0
    with torch.no_grad():
        features = model.get_submodule("embedding")(tokens)
        for name, block in model.named_children():
            if name.startswith("stage"):
                logits = block.attention.logits(block.norm1(features))
                seen = logits[..., torch.ones(logits.shape[-2:], dtype=torch.bool).tril()]
                largest = max(largest, float(seen.abs().max()))
                features = block(features)
    return largest if math.isfinite(largest) else math.nan
