import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from largestep.deep import features, take


class Block(nn.Module):
    """A residual block that reuses its rectifier, in place, as many do."""

    def __init__(self, channels):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.norm(self.convolution(x)))
        return self.relu(self.convolution(y) + x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.stage = nn.Sequential(Block(4), Block(4))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.stage(functional.relu(self.stem(x)))
        return self.head(functional.gelu(x.mean((2, 3))))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 1, 8, 8, generator=generator)


def test_auto_finds_modules_functions_and_repeated_calls(net, images):
    found = features.gather(net, [images[:5], images[5:]])
    assert list(found) == [
        "relu",
        "stage.0.relu",
        "stage.0.relu:2",
        "stage.1.relu",
        "stage.1.relu:2",
        "gelu",
    ]
    assert [layer.rectified for layer in found.values()] == [True] * 5 + [False]
    assert found["relu"].features.shape == (8, 4 * 6 * 6)


def test_features_are_the_layers_outputs(net, images):
    net.eval()
    expected = functional.relu(net.stem(images)).detach()
    found = features.gather(net, [images[:5], images[5:]], "relu")["relu"]
    torch.testing.assert_close(found.features, expected.flatten(1))
    channels = features.gather(net, [images], "relu", units="channel")["relu"]
    torch.testing.assert_close(channels.features, expected.movedim(1, -1).flatten(0, 2))
    assert channels.width == 4


def test_what_is_overwritten_later_was_copied(images):
    class Overwriting(nn.Module):
        def forward(self, x):
            y = functional.relu(x)
            z = y.clone()
            y.mul_(-1)
            return z

    found = features.gather(Overwriting(), [images])["relu"]
    torch.testing.assert_close(found.features, images.clamp(min=0).flatten(1))


def test_subsets_are_columns_and_rows_of_the_whole_and_the_same_every_time(net, images):
    whole = features.gather(net, [images], "relu")["relu"].features
    few, again = (
        features.gather(net, [images[:3], images[3:]], "relu", max_units=10, seed=3)["relu"]
        for _ in range(2)
    )
    assert few.width == 144
    assert torch.equal(few.features, again.features)
    for column in few.features.T:
        assert (whole.T - column).abs().sum(1).min() < 1e-4
    rows = features.gather(net, [images], "relu", units="channel", max_rows=20)["relu"].features
    every = features.gather(net, [images], "relu", units="channel")["relu"].features
    assert rows.shape == (20, 4)
    for row in rows:
        assert (every - row).abs().sum(1).min() < 1e-4


def test_rectifiers_of_every_spelling_are_found(images):
    spellings = [
        lambda x: x.relu(),
        torch.relu,
        lambda x: x.clamp(min=0),
        lambda x: torch.clamp(x, 0),
        lambda x: x.clamp_min(0),
        nn.ReLU(),
        nn.ReLU6(),
    ]

    class Spelled(nn.Module):
        def __init__(self, spelling):
            super().__init__()
            self.spelling = spelling

        def forward(self, x):
            return self.spelling(x).clamp(max=2)

    for spelling in spellings:
        (found,) = features.gather(Spelled(spelling), [images]).values()
        assert found.rectified
    for smooth in (nn.GELU(), nn.SiLU(), nn.LeakyReLU(), nn.PReLU(), functional.mish):
        (found,) = features.gather(Spelled(smooth), [images]).values()
        assert not found.rectified


def test_stages_patterns_and_functions_can_be_named(net, images):
    def embedding(model, batch):
        return model.stage(model.stem(batch)).mean((2, 3))

    found = features.gather(net, [images], ["stage", "stage.*.relu", embedding])
    assert list(found) == ["stage.0.relu", "stage.1.relu", "stage", "embedding"]
    assert found["stage"].rectified
    assert found["embedding"].features.shape == (8, 4)


def test_a_stage_that_is_not_rectified_counts_in_auto(images):
    class PreActivation(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            return x + self.convolution(functional.relu(x))

    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Sequential(PreActivation(), PreActivation()))
    assert list(features.gather(model, [images])) == ["1.0.relu", "1.1.relu", "1"]


def test_tuples_and_dictionaries_give_their_first_floating_tensor(images):
    class Wrapped(nn.Module):
        def forward(self, x):
            return {"index": torch.zeros(len(x), dtype=torch.int64), "values": (x, x + 1)}

    model = nn.Sequential()
    model.add_module("wrapped", Wrapped())
    found = features.gather(model, [images], "wrapped")["wrapped"]
    torch.testing.assert_close(found.features, images.flatten(1))


def test_dictionaries_of_arguments_and_types_of_the_model(images):
    class Keyed(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 5)

        def forward(self, pixels, offset):
            return functional.relu(self.linear(pixels.flatten(1)) + offset)

    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        model = Keyed().to(dtype)
        batch = {"pixels": images, "offset": torch.ones(8, 1)}
        assert features.gather(model, [batch])["relu"].features.dtype == dtype
    chosen = features.gather(
        Keyed(), [images], forward=lambda model, batch: model(batch, torch.zeros(len(batch), 1))
    )
    assert chosen["relu"].features.shape == (8, 5)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_stays_behind(net, images, fails):
    class Meddling(Net):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count += 1
            torch.rand(3)
            np.random.rand()  # noqa: NPY002
            output = super().forward(x)
            if fails:
                raise RuntimeError("broken")
            return output

    model = Meddling()
    model.stage[0].eval()
    model(images).sum().backward() if not fails else None
    before = {name: value.clone() for name, value in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    if fails:
        with pytest.raises(RuntimeError, match="broken"):
            features.gather(model, [images])
    else:
        features.gather(model, [images])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for p, grad in zip(model.parameters(), grads, strict=True):
        assert (p.grad is None) if grad is None else torch.equal(p.grad, grad)


def test_wrappers_are_looked_through(net, images):
    reference = features.gather(net, [images])
    for wrapper in (torch.compile(net), nn.DataParallel(net)):
        found = features.gather(wrapper, [images])
        assert list(found) == list(reference)
        assert torch.equal(found["gelu"].features, reference["gelu"].features)
    compiled_inside = Net()
    compiled_inside.load_state_dict(net.state_dict())
    compiled_inside.stage.compile()
    found = features.gather(compiled_inside, [images])
    assert torch.equal(found["gelu"].features, reference["gelu"].features)


def test_units_that_depend_on_the_inputs_can_be_counted_by_channel():
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    batches = [torch.randn(2, 7, 3), torch.randn(2, 4, 3)]
    with pytest.raises(ValueError, match=r"'1' must have as many units .* 35 and 20.*channel"):
        features.gather(model, batches)
    assert features.gather(model, batches, units="channel")["1"].features.shape == (22, 5)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ("stge", ValueError, "'stge' matches nothing; near it are stage"),
        ("stage.*.tanh", ValueError, "matches nothing"),
        (["relu", "nothing"], ValueError, "'nothing' matches nothing"),
        ([], ValueError, "at least one layer"),
        ([3], TypeError, "names, patterns or functions, got 3"),
        (lambda model, batch: 3, ValueError, "must give a floating-point tensor, got int"),
        (lambda model, batch: batch.mean(), ValueError, "one row for each of the 8 inputs"),
    ],
)
def test_layers_that_cannot_be_measured_are_refused(net, images, chosen, error, message):
    with pytest.raises(error, match=message):
        features.gather(net, [images], chosen)


def test_modules_that_are_never_called_are_told_apart(net, images):
    net.spare = nn.ReLU()
    with pytest.raises(ValueError, match="'spare' is never called"):
        features.gather(net, [images], "spare")
    with pytest.raises(ValueError, match="found no activation"):
        features.gather(nn.Linear(8, 2), [images])
    with pytest.raises(ValueError, match="'position' or 'channel', got 'pixel'"):
        features.gather(net, [images], units="pixel")
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got str"):
        features.gather("model", [images])


def test_taking_inputs_changes_no_random_state_and_stops_at_the_count(images):
    data = torch.utils.data.TensorDataset(images, torch.arange(8))
    loader = torch.utils.data.DataLoader(data, batch_size=3, shuffle=True)
    before = torch.get_rng_state()
    taken = take(loader, 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert [len(x) for x, _ in taken] == [3, 2]
    assert [len(x) for x in take(images, 4)] == [4]
    with pytest.raises(ValueError, match="at least one input"):
        take([], 5)
    with pytest.raises(TypeError, match="got str"):
        take(["abc"], 5)


class Unfit(nn.Module):
    """Its rectifier works on a parameter, on the inputs, and on them with the positions first."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        x = functional.softplus(self.scale) * functional.relu(x)
        return functional.gelu(x.flatten(1).T[:, :, None])


def test_auto_passes_over_what_has_no_row_for_each_input(images):
    with pytest.warns(RuntimeWarning, match=r"passed over gelu: .* units='channel'"):
        assert list(features.gather(Unfit(), [images])) == ["relu"]
    with pytest.raises(ValueError, match=r"'gelu' must have one row .* \(64, 8, 1\).*channel"):
        features.gather(Unfit(), [images], "gelu")
    by_channel = features.gather(Unfit(), [images], units="channel")
    assert by_channel["gelu"].features.shape == (8 * 64, 1)
    with pytest.raises(ValueError, match=r"found no activation with a row .*'0' must give a fl"):
        features.gather(nn.Sequential(nn.ReLU(), nn.Flatten()), [images.int()])


class Tokens(nn.Module):
    """Flattens its tokens, or lets them lead, as some transformers do."""

    def __init__(self, way):
        super().__init__()
        self.way, self.act = way, nn.ReLU()

    def forward(self, x, attention_mask=None):
        x = x.flatten(0, 1) if self.way == "flat" else x.transpose(0, 1)
        return self.act(x)


@pytest.mark.parametrize("way", ["flat", "leading"])
def test_tokens_of_all_inputs_are_rows_of_channels(way):
    x = torch.randn(4, 5, 3)
    with pytest.raises(ValueError, match="count channels, with units='channel'"):
        features.gather(Tokens(way), [x])
    found = features.gather(Tokens(way), [x], units="channel")["act"].features
    assert torch.equal(found.sort(0).values, x.relu().flatten(0, 1).sort(0).values)


@pytest.mark.parametrize("way", ["flat", "leading"])
def test_padding_is_no_row(way):
    x = torch.randn(4, 5, 3)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]])
    batch = {"x": x, "attention_mask": mask}
    found = features.gather(Tokens(way), [batch], units="channel")["act"].features
    expected = x[mask.bool()].relu()
    assert torch.equal(found.sort(0).values, expected.sort(0).values)


class Experts(nn.Module):
    """Sends each input to one of two experts, whose weights are one tensor or two."""

    def __init__(self, together):
        super().__init__()
        self.dense, self.act = nn.ReLU(), nn.ReLU()
        self.acts = nn.ModuleList([nn.ReLU(), nn.ReLU()])
        self.together = together
        if together == "in one call":
            self.bank = nn.Sequential(nn.ReLU())
            self.bank.weights = nn.Parameter(torch.ones(2, 3, 3))

    def forward(self, x):
        x = self.dense(x)
        if self.together == "in one call":
            return self.bank(x)
        chosen = [x[:3], x[3:]]
        if self.together == "apart":
            return torch.cat([act(part) for act, part in zip(self.acts, chosen, strict=True)])
        return torch.cat([self.act(part) for part in chosen])


@pytest.mark.parametrize("together", ["in one call", "in several calls"])
def test_experts_that_share_a_tensor_are_passed_over_with_a_word(together):
    with pytest.warns(RuntimeWarning, match="passed over .*units of several experts"):
        found = features.gather(Experts(together), [torch.randn(8, 3)], units="channel")
    assert list(found) == ["dense"]


def test_experts_of_their_own_are_layers():
    found = features.gather(Experts("apart"), [torch.randn(8, 3)] * 2, units="channel")
    shapes = {name: tuple(layer.features.shape) for name, layer in found.items()}
    assert shapes == {"dense": (16, 3), "acts.0": (6, 3), "acts.1": (10, 3)}
    with pytest.warns(RuntimeWarning, match=r"passed over acts\.0, acts\.1"):
        assert list(features.gather(Experts("apart"), [torch.randn(8, 3)])) == ["dense"]


def test_a_model_that_changes_its_inputs_and_itself_stays_as_it_was(images):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            self.mean = 0.9 * self.mean + x.mean()
            self.last = x.sub_(self.mean)
            return functional.relu(x)

    model, before = Counting(), images.clone()
    mean = model.mean
    first, second = (features.gather(model, [images])["relu"].features for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(images, before)
    assert model.mean is mean
    assert model.calls == 0
    assert not hasattr(model, "last")


def test_exceptions_that_the_model_catches_and_functions_outside_it(images):
    class Trying(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 1, 1)
            self.second = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())

        def forward(self, x):
            try:
                return self.first(x)
            except RuntimeError:
                return self.second(x)

    def forward(model, batch):
        return model(functional.relu(batch))

    assert list(features.gather(Trying(), [images], forward=forward)) == ["relu", "second.1"]


def test_autocast_is_off_and_keeps_no_weights(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU())
    with torch.autocast("cpu", torch.bfloat16):
        assert features.gather(model, [images])["2"].features.dtype == torch.float32
        model(images).float().sum().backward()
    assert model[1].weight.grad is not None


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nn.Sequential(nn.LazyLinear(3)), ValueError, r"'0\.weight' has no shape yet: run it once"),
        (nn.Linear(2, 2, device="meta"), ValueError, "'weight' is on the meta device"),
    ],
)
def test_models_that_cannot_be_run_are_refused(images, model, error, message):
    with pytest.raises(error, match=message):
        features.gather(model, [images])


@pytest.mark.parametrize("persistent", [False, True])
def test_a_loaders_generator_and_workers_are_left_alone(images, persistent):
    loader = torch.utils.data.DataLoader(
        images,
        batch_size=2,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),
        num_workers=int(persistent),
        persistent_workers=persistent,
    )
    state = loader.generator.get_state()
    taken = take(loader, 4)
    assert torch.equal(loader.generator.get_state(), state)
    # In the middle of a loop too.
    seen = [(batch, take(loader, 1))[0] for batch in loader]
    assert len(seen) == 4
    assert torch.equal(torch.cat(taken), torch.cat(seen[:2]))


def test_what_is_taken_is_a_copy_and_no_more_is_read(images):
    def stream():
        yield {"x": images, "mask": torch.ones(5)}
        raise AssertionError("read too much")

    with pytest.warns(RuntimeWarning, match="generator"):
        (batch,) = take(stream(), 3)
    assert torch.equal(batch["x"], images[:3])
    assert batch["mask"].shape == (5,)
    images.zero_()
    assert batch["x"].any()
