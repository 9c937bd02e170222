"""The problems of `tuning-free`: a network, its data, its loss and what counts as its error.

All run on a core in seconds. Data are the same for every seed; seeds draw weights and orders.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from largestep.deep import data, models
from largestep.deep.features import Units

__all__ = ["Task"]

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained, on what, and how it is judged.

    Attributes
    ----------
    model : with its weights.
    train, test : inputs and targets.
    loss : (outputs, targets) → mean loss.
    error : (outputs, targets) → mean error, what methods are compared by.
    constant : the error on the test data of the best output that does not depend on the inputs.
    features : the module whose outputs are the features of the last hidden layer.
    epochs, batch_size : passes over the training data, and examples in a step.
    units : what counts as a unit, as `deep.gather` takes it.
    """

    model: nn.Module
    train: Pair
    test: Pair
    loss: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]
    constant: float
    features: str
    epochs: int
    batch_size: int
    units: Units = "position"


def mlp(seed: int) -> Task:
    """Return a network of two hidden layers of 200 units, on 500 digits."""
    return _classified(
        _seeded(seed, lambda: _layers(64, 200, 200, 10)),
        *_digits(flat=True),
        features="relu2",
        epochs=30,
    )


def convolutions(seed: int) -> Task:
    """Return two convolutions of 8 and 16 channels without normalisation, on 500 digits."""

    def build() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 10),
        )

    return _classified(_seeded(seed, build), *_digits(), features="3", epochs=24)


def residual(seed: int) -> Task:
    """Return a residual network with batch norm of 8 and 16 channels, on 500 digits."""
    return _residual(seed, *_digits())


def wrong_labels(seed: int) -> Task:
    """Return the same where a fifth of the training labels are wrong."""
    (x, labels), test = _digits()
    rng = np.random.default_rng(0)
    wrong = torch.from_numpy(rng.permutation(len(labels))[: len(labels) // 5])
    off = torch.from_numpy(rng.integers(1, 10, len(wrong)))
    return _residual(seed, (x, labels.index_add(0, wrong, off) % 10), test)


def regression(seed: int) -> Task:
    """Return a hidden layer of 100 units, on 200 noisy outputs of 5 units at 10 inputs."""
    rng = np.random.default_rng(0)
    into, out = rng.standard_normal((10, 5)) / np.sqrt(10), rng.choice([-1.0, 1.0], 5)

    def drawn(n: int, noise: float) -> Pair:
        x = rng.standard_normal((n, 10))
        y = np.maximum(x @ into, 0) @ out + noise * rng.standard_normal(n)
        return _single(x), _single(y[:, np.newaxis])

    return _regressed(
        _seeded(seed, lambda: _layers(10, 100, 1)),
        drawn(200, 0.1),
        drawn(2000, 0.0),
        features="relu1",
        epochs=80,
        batch_size=20,
    )


def autoencoder(seed: int) -> Task:
    """Return an autoencoder of digits through 12 numbers, with hidden layers of 128 units."""

    def build() -> nn.Sequential:
        into = nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 12)
        return nn.Sequential(*into, nn.Linear(12, 128), nn.ReLU(), nn.Linear(128, 64))

    (x, _), (x_test, _) = _digits(flat=True)
    return _regressed(_seeded(seed, build), (x, x), (x_test, x_test), features="4", epochs=40)


def recurrent(seed: int) -> Task:
    """Return a GRU of 32 units that adds the two marked ones of 8 numbers, uniform in [0, 1].

    The adding problem of Hochreiter and Schmidhuber (1997), read out through a layer of ReLUs. As
    there, a sum that is off by more than 0.04 is an error.
    """
    rng = np.random.default_rng(0)

    def drawn(n: int) -> Pair:
        numbers = rng.random((n, 8))
        marked = np.argsort(rng.random((n, 8)), axis=1) < 2
        x = np.stack([numbers, marked], axis=2)
        return _single(x), _single((numbers * marked).sum(1, keepdims=True))

    train, (x_test, y_test) = drawn(2000), drawn(1000)
    return Task(
        _seeded(seed, _Recurrent),
        train,
        (x_test, y_test),
        functional.mse_loss,
        _off,
        float(_off(y_test.median(), y_test)),
        features="relu",
        epochs=8,
        batch_size=32,
    )


def _off(sums: Tensor, targets: Tensor) -> Tensor:
    return ((sums - targets).abs() > 0.04).double().mean()


def relu_transformer(seed: int) -> Task:
    """Return a transformer of width 32 and two blocks with ReLUs, on 32 768 characters of text."""
    return _transformer(seed, "relu")


def gelu_transformer(seed: int) -> Task:
    """Return the same with GELUs."""
    return _transformer(seed, "gelu")


def _transformer(seed: int, activation: str) -> Task:
    text = _text()
    model = models.build(
        "transformer", text.classes, seed, context=32, width=32, activation=activation
    )
    counts = torch.bincount(text.y_train.flatten(), minlength=text.classes) + 1.0
    constant = _next_token(counts.log().expand(*text.y_test.shape, -1), text.y_test)
    return Task(
        model,
        (text.x_train, text.y_train),
        (text.x_test, text.y_test),
        _next_token,
        _next_token,
        float(constant),
        features="stage2.units",
        epochs=3,
        batch_size=8,
        units="channel",
    )


@cache
def _text() -> Any:
    return data.load("text:characters=32768,test_characters=8192,context=32")


def _next_token(outputs: Tensor, tokens: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.flatten(0, 1), tokens.flatten())


class _Recurrent(nn.Module):
    """x ↦ W₂ σ(W₁ h), h the last state of a GRU and σ the ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2, 32, batch_first=True)
        self.hidden = nn.Linear(32, 64)
        self.relu = nn.ReLU()
        self.linear = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x)
        return self.linear(self.relu(self.hidden(states[:, -1])))


def _residual(seed: int, train: Pair, test: Pair) -> Task:
    model = models.build("small_resnet", 10, seed, widths=(8, 16))
    return _classified(model, train, test, features="stage2", epochs=16)


def _digits(*, flat: bool = False) -> tuple[Pair, Pair]:
    digits = data.load("digits", train=500)
    x, x_test = digits.normalise(digits.x_train), digits.normalise(digits.x_test)
    if flat:
        x, x_test = x.flatten(1), x_test.flatten(1)
    return (x, digits.y_train), (x_test, digits.y_test)


def _classified(
    model: nn.Module, train: Pair, test: Pair, *, features: str, epochs: int, batch_size: int = 32
) -> Task:
    commonest = float(torch.bincount(test[1]).max()) / len(test[1])
    return Task(
        model,
        train,
        test,
        functional.cross_entropy,
        _wrong,
        1.0 - commonest,
        features,
        epochs,
        batch_size,
    )


def _regressed(
    model: nn.Module, train: Pair, test: Pair, *, features: str, epochs: int, batch_size: int = 32
) -> Task:
    constant = float(test[1].var(0, correction=0).mean())
    loss = functional.mse_loss
    return Task(model, train, test, loss, loss, constant, features, epochs, batch_size)


def _wrong(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs.argmax(1) != labels).double().mean()


def _layers(*widths: int) -> nn.Sequential:
    """Return fully connected layers with ReLUs between them."""
    network = nn.Sequential()
    for number in range(1, len(widths)):
        network.add_module(f"linear{number}", nn.Linear(widths[number - 1], widths[number]))
        if number < len(widths) - 1:
            network.add_module(f"relu{number}", nn.ReLU())
    return network


def _seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def _single(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
