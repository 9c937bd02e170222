"""What holds for every measure, and what becomes of measures that are wrong."""

import random
from types import MappingProxyType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from largestep.deep import Probe, measures
from largestep.deep.measures import Errors, Measure, Quantity, Sparsity
from largestep.deep.measures.base import Need
from largestep.deep.measures.record import Record

X = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 12),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.Linear(12, 9),
        nn.ReLU(),
        nn.Linear(9, 3),
    )


class Stranger(Measure):
    """Leaves all the traces that a careless measure would leave."""

    quantities = MappingProxyType({"strange": Quantity("strangeness")})
    cost = "a gradient"

    def measure(self, subject):
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        random.seed(5)
        subject.model.eval()
        subject.model.noted = True
        for buffer in subject.model.buffers():
            buffer.add_(1)
        functional.cross_entropy(subject.model(X), Y).backward()
        return {"strange": sum(float(p.grad.norm()) for p in subject.model.parameters())}


OURS = [
    kind
    for name in dir(measures)
    if isinstance(kind := getattr(measures, name), type)
    and issubclass(kind, Measure)
    and kind is not Measure
]

CHEAP = {
    measures.BatchHessian: {"inputs": 40, "batches": 1, "tolerance": 0.5},
    measures.Subspace: {"k": 1, "tolerance": 0.5},
    measures.Sharpness: {"tolerance": 0.5},
    measures.SpectralDensity: {"steps": 3, "starts": 2},
    measures.Movement: {"inputs": 10},
    measures.Opposition: {"inputs": 20},
}


def made(kind, optimizer):
    needed = (optimizer,) if kind is measures.StepSize else ()
    return kind(*needed, **CHEAP.get(kind, {}))


def trained(measure):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = [(X[:30], Y[:30]), (X[30:], Y[30:])]
    probe = None
    if measure is not None:
        probe = Probe(
            model,
            batches,
            measures=[made(measure, optimizer)],
            every=1,
            loss_function=functional.cross_entropy,
        )
    torch.manual_seed(1)
    random.seed(1)
    for _ in range(4):
        batch = torch.randint(60, (20,)), random.random()
        loss = functional.cross_entropy(model(X[batch[0]]), Y[batch[0]]) * batch[1]
        loss.backward()
        if probe is not None:
            probe.step(loss)  # between backward and step, where everything would be seen
        optimizer.step()
        optimizer.zero_grad()
    return model, probe


@pytest.mark.parametrize("measure", [*OURS, Stranger])
def test_training_goes_on_bit_for_bit_as_without_it(measure):
    alone, watched = trained(None)[0], trained(measure)
    for (name, a), b in zip(
        alone.state_dict().items(), watched[0].state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert watched[0].training
    assert not hasattr(watched[0], "noted")
    assert watched[1].dataset().sizes["step"] == 5


@pytest.mark.parametrize("measure", OURS)
def test_a_measure_says_what_it_gives_needs_and_costs(measure):
    probe = trained(measure)[1]
    found, (measure,) = probe.dataset(), probe.measures
    assert set(measure.quantities) < set(found.data_vars)
    for name, quantity in measure.quantities.items():
        along = () if quantity.along is None else (quantity.along,)
        assert found[name].dims == ("step", *along)
        assert found[name].attrs["long_name"] == quantity.long_name
    assert measure.cost
    assert measure.needs <= set(Need.__args__)


def test_each_measure_has_its_own_steps():
    model = network()
    probe = Probe(model, [(X, Y)], measures=[Sparsity(), Errors(every=3)], every=2)
    heard = [probe.step() for _ in range(6)]
    assert [h is None for h in heard] == [True, False, False, False, True, False]
    assert set(heard[2]) == {"loss", "error"}
    found = probe.dataset()
    assert found.step.values.tolist() == [0, 2, 3, 4, 6]
    assert found.error.notnull().values.tolist() == [True, False, True, False, True]
    assert found.raw.notnull().all("layer").values.tolist() == [True, True, False, True, True]


def test_features_are_gathered_once_for_all_measures(monkeypatch):
    gathered = []
    features = Probe.features
    monkeypatch.setattr(Probe, "features", lambda self: gathered.append(1) or features(self))
    Probe(network(), X, measures=[Sparsity(), measures.Movement(10)])
    assert len(gathered) == 1


class Wrong(Measure):
    quantities = MappingProxyType(
        {"wrong": Quantity("wrong"), "by_layer": Quantity("wrong", "layer")}
    )
    cost = "nothing"

    def __init__(self, values):
        self.values = values

    def measure(self, subject):
        return self.values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"wrong": [1.0, 2.0]}, r"wrong must be a single number, got an array of shape \(2,\)"),
        ({"wrong": np.zeros(0)}, r"wrong must be a single number, got an array of shape \(0,\)"),
        ({"wrong": "two"}, "wrong must be a number, got 'two'"),
        ({"other": 1.0}, "must give what it promises, wrong, by_layer, got other"),
        ({"by_layer": 1.0}, "by_layer must be given for each layer, as a dictionary, got 1.0"),
        ({"by_layer": {"0": None}}, "by_layer must be a number, got None"),
    ],
)
def test_what_a_measure_returns_is_checked(values, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Probe(network(), X, measures=[Wrong(values)])


def test_what_a_measure_needs_is_asked_for_first():
    class Two(Wrong):
        needs = frozenset({"two batches"})

    with pytest.raises(ValueError, match="Two needs two batches or more, got 1"):
        Probe(network(), X, measures=[Two({})])


def test_errors_are_those_of_the_outputs():
    model = network().eval()
    x, y = X[:10], Y[:10]
    found = Probe(model, X, measures=[Errors("test", [(x, y)])]).measure()
    outputs = model(x).detach()
    loss = functional.cross_entropy(outputs.double(), y).item()
    assert float(found.test_loss) == pytest.approx(loss)
    assert float(found.test_error) == (outputs.argmax(1) != y).double().mean().item()
    assert found.test_error.attrs["long_name"] == "test error"


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (X, r"needs batches of \(inputs, targets\), got Tensor"),
        ([(X, X)], r"64-bit integers, got torch.float32 of shape \(60, 6\)"),
    ],
)
def test_errors_need_labels(batches, message):
    with pytest.raises(TypeError, match=message):
        Probe(network(), batches, measures=[Errors()])


def test_a_record_is_the_same_after_its_state_has_been_stored():
    record = Record({"a": Quantity("a"), "b": Quantity("b", "layer")})
    record.add(0, {"a": 1.0, "b": {"x": 0.1, "y": np.nan}})
    record.add(7, {"b": {"y": 2.0, "z": 3.0}})
    again = Record(record.quantities)
    again.load_state_dict(record.state_dict())
    found = again.dataset()
    assert found.identical(record.dataset())
    assert found.layer.values.tolist() == ["x", "y", "z"]
    np.testing.assert_array_equal(found.b, [[0.1, np.nan, np.nan], [np.nan, 2, 3]])
    np.testing.assert_array_equal(found.a, [1, np.nan])
    assert record.dataset([0, 3]).step.values.tolist() == [0, 3]
    assert Record(record.quantities).dataset().b.shape == (0, 0)


def test_sharpness_of_dictionaries_is_that_of_pairs():
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3))

        def forward(self, x, labels=None):
            return {"logits": self.network(x)}

    model, x, y = Classifier(), torch.randn(20, 4), torch.arange(20) % 3
    found = Probe(
        model,
        [{"x": x, "labels": y}],
        loss_function=lambda outputs, y: nn.functional.cross_entropy(outputs["logits"], y),
    )
    expected = Probe(model.network, [(x, y)], loss_function=nn.CrossEntropyLoss())
    np.testing.assert_allclose(found.dataset().sharpness, expected.dataset().sharpness, rtol=1e-6)
