"""Measures of the loss's curvature, against the dense Hessian of a network of 19 parameters."""

from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from largestep.deep import Probe
from largestep.deep.measures import (
    BatchHessian,
    BatchSharpness,
    GradientNoise,
    SpectralDensity,
    Subspace,
)
from largestep.metrics import coherence

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = X[:, :3].argmax(1)
BATCHES = list(zip(X.split(6), Y.split(6), strict=True))


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 3)).double()


def dense(model, x, y):
    """Return the gradient and the Hessian of the mean loss by the trainable parameters."""
    named = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in named.values()]

    def loss(theta):
        parts = zip(named, theta.split(sizes), strict=True)
        state = {name: part.reshape(named[name].shape) for name, part in parts}
        return functional.cross_entropy(functional_call(model, state, (x,)), y)

    theta = torch.cat([p.flatten() for p in named.values()])
    gradient = torch.func.grad(loss)(theta)
    return gradient.numpy(), torch.func.jacrev(torch.func.jacrev(loss))(theta).numpy()


def probe(measure, model=None, batches=BATCHES, loss=functional.cross_entropy, **settings):
    model = network() if model is None else model
    return Probe(model, batches, measures=[measure], loss_function=loss, **settings)


def sharpness(model, batches):
    found = []
    for x, y in batches:
        gradient, hessian = dense(model, x, y)
        found.append(gradient @ hessian @ gradient / (gradient @ gradient))
    return found


@pytest.mark.parametrize("frozen", [False, True])
def test_batch_sharpness_is_the_mean_over_batches_along_their_gradients(frozen):
    model = network()
    model[0].requires_grad_(not frozen)
    found = probe(BatchSharpness(), model).measure()
    expected = sharpness(model, BATCHES)
    assert float(found.batch_sharpness) == pytest.approx(np.mean(expected), rel=1e-9)
    error = np.std(expected, ddof=1) / 2
    assert float(found.batch_sharpness_error) == pytest.approx(error, rel=1e-6)


def test_batches_of_another_size_are_cut_from_the_probes():
    pairs = chain.from_iterable(zip(x.split(3), y.split(3), strict=True) for x, y in BATCHES)
    expected = np.mean(sharpness(network(), list(pairs)[:5]))
    found = probe(BatchSharpness(3, batches=5)).measure().batch_sharpness
    assert float(found) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match=r"batch_size must be at most 6, .* got 7"):
        probe(BatchSharpness(7))


def test_a_batch_without_a_gradient_is_left_out():
    def loss(outputs, y):
        return (outputs.square().mean(1) * (y == 1)).mean()

    y = torch.tensor([0, 0, 1, 1])
    x = X[:4]
    batches = [(x[:2], y[:2]), (x[2:], y[2:])]
    alone = probe(BatchSharpness(), batches=batches[1:], loss=loss).measure()
    found = probe(BatchSharpness(), batches=batches, loss=loss).measure()
    assert float(found.batch_sharpness) == float(alone.batch_sharpness)
    assert np.isnan(found.batch_sharpness_error)
    none = probe(BatchSharpness(), batches=batches[:1], loss=loss).measure()
    assert np.isnan(none.batch_sharpness)


def test_the_batch_hessian_is_the_ratio_of_the_largest_eigenvalues():
    model = network()
    top = [np.linalg.eigvalsh(dense(model, x, y)[1])[-1] for x, y in [(X, Y), *BATCHES]]
    found = probe(BatchHessian(batches=3, tolerance=1e-8)).measure().batch_hessian
    assert float(found) == pytest.approx(np.mean(top[1:4]) / top[0], rel=1e-6)
    with pytest.raises(ValueError, match="BatchHessian needs two batches or more"):
        probe(BatchHessian(), batches=[(X, Y)])


def test_the_subspace_is_that_of_the_dense_hessian_and_its_drift_is_seen():
    model = network()
    watching = probe(Subspace(tolerance=1e-8), model, every=1)

    def top():
        gradient, hessian = dense(model, X, Y)
        vectors = np.linalg.eigh(hessian)[1][:, -2:]  # of three classes
        return gradient, vectors

    tops = [top()]
    for _ in range(2):
        with torch.no_grad():
            for p in model.parameters():
                p += 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(2))
        watching.step()
        tops.append(top())
    found = watching.dataset()
    shares = [np.sum((v.T @ g) ** 2) / (g @ g) for g, v in tops]
    np.testing.assert_allclose(found.subspace_share, shares, rtol=1e-5)

    def overlap(one, other):
        return np.sum((tops[one][1].T @ tops[other][1]) ** 2) / 2

    expected = [np.nan, overlap(1, 0), overlap(2, 1)]
    np.testing.assert_allclose(found.subspace_overlap, expected, rtol=1e-5)
    expected = [np.nan, overlap(1, 0), overlap(2, 0)]
    np.testing.assert_allclose(found.subspace_overlap_start, expected, rtol=1e-5)


def test_looking_by_hand_does_not_shift_what_is_compared_with():
    watching = probe(Subspace(), every=1)
    before = watching.measure()
    assert float(before.subspace_overlap) == pytest.approx(1.0)
    with torch.no_grad():
        watching.model[0].weight.mul_(3.0)
    moved = [float(watching.measure().subspace_overlap) for _ in range(2)]
    assert moved[0] == moved[1] < 0.999


def test_the_subspace_goes_with_the_checkpoint():
    one, other = probe(Subspace(), every=1), probe(Subspace(), every=1)
    with torch.no_grad():
        for model in (one.model, other.model):
            model[0].weight.mul_(2.0)
    other.load_state_dict(one.state_dict())
    assert one.step() == other.step()


def test_the_number_of_classes_must_be_told_or_seen():
    regression = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)).double()
    with pytest.raises(ValueError, match=r"outputs of shape \(n, classes\), got \(24,\): give k"):
        probe(Subspace(), regression, [(X, X[:, 0])], functional.mse_loss)
    found = probe(Subspace(1), regression, [(X, X[:, 0])], functional.mse_loss).measure()
    assert 0 <= float(found.subspace_share) <= 1


def test_the_spectrum_is_that_of_the_dense_hessian():
    model = network()
    values = np.linalg.eigvalsh(dense(model, X, Y)[1])
    found = probe(SpectralDensity(steps=len(values), starts=6), model).measure()
    above = values > values[-1] / 10
    assert abs(float(found.outliers) - above.sum()) < 4 * float(found.outliers_error)
    assert 0 < float(found.outliers_error) < 1.5
    assert float(found.bulk) == pytest.approx(np.sqrt(np.mean(values[~above] ** 2)), rel=0.3)
    assert float(found.spectrum.sum()) == pytest.approx(1.0)
    for name, share, error in zip(
        found.eigenvalue.values, found.spectrum.values, found.spectrum_error.values, strict=True
    ):
        low, high = map(float, name.split(" to "))
        if abs(low) > 0.01 or abs(high) > 0.01:  # names have one digit, zeros have rounding
            edges = np.sort(
                np.sign([low, high]) * 10 ** (np.round(2 * np.log10(np.abs([low, high]))) / 2)
            )
            exact = np.mean((values > edges[0]) & (values < edges[1]))
            assert abs(share - exact) <= 4 * error + 1e-9


def test_the_noise_scale_is_that_of_the_examples_gradients():
    model = network()
    rows = np.stack([dense(model, X[i : i + 1], Y[i : i + 1])[0] for i in range(24)])
    mean, trace = rows.mean(axis=0), rows.var(axis=0, ddof=1).sum()
    square = mean @ mean - trace / 24
    found = probe(GradientNoise(24, batch_size=1)).measure()
    assert float(found.gradient_noise) == pytest.approx(trace**0.5)
    assert float(found.gradient_norm) == pytest.approx(square**0.5)
    assert float(found.noise_scale) == pytest.approx(trace / square)
    assert float(found.coherence) == pytest.approx(coherence(rows) / 24)
    assert float(found.batch_size) == 6


def test_the_noise_scale_does_not_depend_on_the_pieces_in_the_mean():
    """Over shuffles, pieces of six estimate the trace that single examples give."""
    model, found = network(), []
    exact = float(probe(GradientNoise(24, batch_size=1), model).measure().gradient_noise) ** 2
    for seed in range(25):
        order = torch.randperm(24, generator=torch.Generator().manual_seed(seed))
        batches = list(zip(X[order].split(6), Y[order].split(6), strict=True))
        measured = probe(GradientNoise(24, batch_size=6), model, batches).measure()
        found.append(float(measured.gradient_noise) ** 2)
    # Without replacement from 24, the pieces' means vary by as much as their estimator says.
    error = np.std(found, ddof=1) / 25**0.5
    assert abs(np.mean(found) - exact) < 4 * error


def test_gradients_that_are_noise_only_and_too_few_pieces():
    x = torch.tensor([[1.0], [1.0]], dtype=torch.float64)
    y = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    settings = {"model": model, "loss": functional.mse_loss}
    found = probe(GradientNoise(2), batches=[(x, y)], **settings).measure()
    assert float(found.noise_scale) == np.inf
    assert float(found.gradient_norm) == 0.0
    with pytest.raises(ValueError, match="two pieces of 2 inputs or more, got 1 in batches of 2"):
        probe(GradientNoise(2, batch_size=2), batches=[(x, y)], **settings)
