"""What a loop may bring along: no labels, sums for means, frozen and half-precision models."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from largestep.deep import Probe
from largestep.deep.measures import (
    Activity,
    BatchHessian,
    BatchSharpness,
    GradientNoise,
    Movement,
    Opposition,
    Sharpness,
    SpectralDensity,
    Subspace,
)

X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(32) % 3
BATCHES = list(zip(X.split(8), Y.split(8), strict=True))
OF_LOSS = {
    Sharpness: {},
    BatchSharpness: {},
    BatchHessian: {"batches": 1},
    Subspace: {},
    SpectralDensity: {"steps": 4, "starts": 2},
    GradientNoise: {},
    Opposition: {},
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 3))


def measured(kind, model, batches=BATCHES, loss=functional.cross_entropy):
    return Probe(model, batches, measures=[kind(**OF_LOSS[kind])], loss_function=loss).measure()


@pytest.mark.parametrize("kind", OF_LOSS)
def test_a_loss_and_labels_are_asked_for(kind):
    name = kind.__name__
    with pytest.raises(ValueError, match=f"{name} needs a loss: give the probe"):
        Probe(network(), BATCHES, measures=[kind(**OF_LOSS[kind])])
    with pytest.raises(TypeError, match=r"pair of tensors \(inputs, targets\), .* got Tensor"):
        measured(kind, network(), list(X.split(8)))


@pytest.mark.parametrize("kind", [k for k in OF_LOSS if k is not Opposition])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.CrossEntropyLoss(reduction="sum"), "got reduction='sum'"),
        (lambda a, y: functional.cross_entropy(a, y, reduction="sum"), "got a sum: of the first"),
    ],
)
def test_a_loss_that_is_a_sum_is_refused(kind, loss, message):
    with pytest.raises(ValueError, match=f"plain mean over a batch's examples, {message}"):
        measured(kind, network(), loss=loss)


def test_to_single_examples_a_sum_is_a_mean():
    losses = [functional.cross_entropy, nn.CrossEntropyLoss(reduction="sum")]
    one, other = (measured(Opposition, network(), loss=loss) for loss in losses)
    assert one.identical(other)


@pytest.mark.parametrize("loss", [functional.cross_entropy, lambda a, y: 0 * a.mean()])
def test_means_are_not_taken_for_sums(loss):
    measured(BatchSharpness, network(), loss=loss)
    measured(GradientNoise, network(), [(X[:7], Y[:7])], loss)


@pytest.mark.parametrize("kind", OF_LOSS)
def test_parameters_that_are_frozen_or_unused_do_not_count(kind):
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.unused = network(), nn.Linear(2, 2)
            self.network[0].requires_grad_(False)

        def forward(self, x):
            return self.network(x)

    model = Part()
    alone = model.network
    found, expected = measured(kind, model), measured(kind, alone)
    for name in found.data_vars:
        # Directions that the loss does not see add to the number of those at zero only.
        if not name.startswith(("spectrum", "train", "outliers", "bulk")):
            np.testing.assert_allclose(found[name], expected[name], rtol=0.02, err_msg=name)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("kind", [k for k in OF_LOSS if k is not Opposition])
def test_a_model_of_frozen_parameters_only_is_refused(kind):
    with pytest.raises(ValueError, match="parameters that require a gradient, got none"):
        measured(kind, network().requires_grad_(False))


@pytest.mark.parametrize("kind", OF_LOSS)
def test_half_precision_gives_what_single_does_up_to_its_rounding(kind):
    model = network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = measured(kind, model)
    assert under.identical(measured(kind, model))
    half = measured(kind, model.bfloat16())
    if kind in (Sharpness, BatchSharpness, BatchHessian, GradientNoise):
        name = next(iter(half.data_vars))
        assert float(half[name]) == pytest.approx(float(under[name]), rel=0.1)
    for name in under.data_vars:
        np.testing.assert_array_equal(np.isfinite(half[name]), np.isfinite(under[name]))


def test_activity_in_half_precision():
    one, half = (
        Probe(model, X, measures=[Activity()]).measure()
        for model in (network(), network().bfloat16())
    )
    assert float(half.activation_size[0]) == pytest.approx(float(one.activation_size[0]), rel=0.02)


@pytest.mark.parametrize("kind", [Movement, Subspace, Opposition])
def test_what_is_compared_after_a_resumption_must_be_the_same_inputs(kind):
    def probe(seed):
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(TensorDataset(X, Y), 8, shuffle=True, generator=generator)
        return Probe(
            network(), loader, measures=[kind(inputs=16)], loss_function=functional.cross_entropy
        )

    state = probe(0).state_dict()
    probe(0).load_state_dict(state)
    with pytest.raises(ValueError, match=f"same order, for {kind.__name__} to compare with; got"):
        probe(1).load_state_dict(state)


def test_a_shuffling_loader_is_taken_once_and_stays():
    loader = DataLoader(TensorDataset(X, Y), 8, shuffle=True)
    model = network()
    probe = Probe(
        model, loader, measures=[BatchSharpness()], loss_function=functional.cross_entropy, every=1
    )
    assert probe.step()["batch_sharpness"] == float(probe.dataset().batch_sharpness[0])
