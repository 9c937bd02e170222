import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from largestep.cli import main
from largestep.deep import data, models
from largestep.deep.loading import load_arrays, load_data, load_model, read_weights
from largestep.deep.weights import to_bytes as weights_to_bytes

NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))

def nothing():
    return 3
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def weights(dead=()):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        model[0].bias.fill_(1.0)
        for unit in dead:
            model[0].weight[unit], model[0].bias[unit] = 0, -1
    return {name: value.detach() for name, value in model.state_dict().items()}


def run_folder(path, name="small_resnet", *, classes=7, channels=2, **settings):
    model = models.build(name, classes, channels=channels, **settings)
    path.mkdir()
    save_file(model.state_dict(), path / "model.safetensors")
    configuration = {
        "settings": {"model": name, "model_settings": settings},
        "data": {
            "name": "digits",
            "training examples": 300,
            "channels": channels,
            "classes": classes,
        },
    }
    (path / "config.json").write_text(json.dumps({"configuration": configuration}))
    return model


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_function_of_a_file_with_weights(net, tmp_path, suffix, dtype):
    held = {name: value.to(dtype) for name, value in weights().items()}
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(held, path)
    model = load_model(f"{net}:build", path)
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, held[name])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("small_resnet", {"widths": [8, 16], "norm": "none"}),
        ("resnet18", {"width": 4}),
        ("densenet_bc100", {"growth": 2}),
        ("vgg16", {}),
    ],
)
def test_the_folder_of_a_run(tmp_path, name, settings):
    trained = run_folder(tmp_path / "run", name, **settings)
    model = load_model(str(tmp_path / "run"))
    for key, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)


def test_the_data_of_a_run_are_those_it_was_trained_on(tmp_path):
    run_folder(tmp_path / "run")
    (x, y), (held_out, _) = load_data(None, None, str(tmp_path / "run"))
    digits = data.load("digits", train=300)
    assert torch.equal(x, digits.normalise(digits.x_train))
    assert torch.equal(y, digits.y_train)
    assert torch.equal(held_out, digits.normalise(digits.x_test))
    with pytest.raises(ValueError, match="must be named with --data"):
        load_data(None, None, "net.py:build")


def test_every_other_example_of_a_file_is_held_out(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(10.0).reshape(5, 2))
    (x, labels), (held_out, _) = load_data(str(tmp_path / "x.npy"), None, "net.py:build")
    assert labels is None
    assert x[:, 0].tolist() == [0, 4, 8]
    assert held_out[:, 0].tolist() == [2, 6]


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("net.py", ValueError, "must be FILE.py:function"),
        ("net.txt:build", ValueError, "must be FILE.py:function"),
        ("gone.py:build", FileNotFoundError, "no file"),
        ("net.py:missing", ValueError, "no function 'missing'; it has build, nothing"),
        ("net.py:nothing", TypeError, "must return a torch.nn.Module"),
        (".", FileNotFoundError, "holds no config.json"),
    ],
)
def test_a_model_that_cannot_be_had(net, monkeypatch, spec, error, message):
    monkeypatch.chdir(net.parent)
    with pytest.raises(error, match=message):
        load_model(spec)


def test_weights_that_do_not_fit_are_named(net, tmp_path):
    held = weights()
    held["3.weight"] = held.pop("2.weight")
    held["0.bias"] = torch.zeros(5)
    save_file(held, tmp_path / "w.safetensors")
    with pytest.raises(
        ValueError,
        match=r"missing: 2\.weight; not in the model: 3\.weight; of another shape: 0\.bias",
    ):
        load_model(f"{net}:build", tmp_path / "w.safetensors")


TIED = """
from torch import nn

def build():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model
"""


def test_weights_that_two_layers_share_may_be_there_once(tmp_path):
    (tmp_path / "tied.py").write_text(TIED)
    held = {"2.weight": torch.randn(4, 4), "0.bias": torch.ones(4), "2.bias": torch.zeros(4)}
    save_file(held, tmp_path / "w.safetensors")
    model = load_model(f"{tmp_path / 'tied.py'}:build", tmp_path / "w.safetensors")
    assert model[0].weight is model[2].weight
    assert torch.equal(model[0].weight, held["2.weight"])


def test_a_model_without_weights_is_remarked_on(net, capsys):
    load_model(f"{net}:build")
    assert "the model is as build returns it, at random unless" in capsys.readouterr().err


class Trap:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_is_unpickled(net, tmp_path, capsys):
    bad = tmp_path / "w.pt"
    torch.save({"0.weight": Trap()}, bad)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        load_model(f"{net}:build", bad)
    with (tmp_path / "w2.pt").open("wb") as file:
        pickle.dump(Trap(), file, protocol=2)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        load_model(f"{net}:build", tmp_path / "w2.pt")
    np.save(tmp_path / "x.npy", np.array([Trap()]), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read as arrays"):
        load_arrays(tmp_path / "x.npy")
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a file of weights"])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_damaged_weights(net, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} (cannot be read as weights|is damaged)"):
        load_model(f"{net}:build", tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no weights"):
        load_model(f"{net}:build", tmp_path / f"gone-{name}")


def test_a_run_folder_that_is_damaged(tmp_path):
    run_folder(tmp_path / "run", widths=[4])
    with pytest.raises(ValueError, match="weights of its own"):
        load_model(str(tmp_path / "run"), tmp_path / "w.pt")
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="not the configuration"):
        load_model(str(tmp_path / "run"))


def test_arrays_in_every_format(tmp_path):
    x, y = np.random.default_rng(0).standard_normal((6, 4)), np.arange(6)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", inputs=x, labels=y)
    held = {"inputs": torch.from_numpy(x), "labels": torch.from_numpy(y)}
    save_file(held, tmp_path / "x.safetensors")
    for name in ("x.npy", "x.npz", "x.safetensors"):
        inputs, labels = load_arrays(tmp_path / name)
        assert torch.equal(inputs, held["inputs"])
        assert (labels is None) == (name == "x.npy")
        assert labels is None or torch.equal(labels, held["labels"])


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"x": np.ones((2, 3))}, ValueError, "an array called inputs, got x"),
        ({"inputs": np.full((2, 3), np.nan)}, ValueError, "must be finite"),
        ({"inputs": np.ones((2, 3), np.uint8)}, TypeError, "floating-point numbers, normalised"),
        ({"inputs": np.ones((2, 3), bool)}, TypeError, "tokens as int32 or int64, got torch.bool"),
        ({"inputs": np.ones(3)}, ValueError, r"shape \(n, channels, …\), got \(3,\)"),
        ({"inputs": np.ones((2, 3)), "labels": np.ones(3)}, ValueError, "2 inputs and 3 labels"),
    ],
)
def test_arrays_that_do_not_do(tmp_path, arrays, error, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(error, match=message):
        load_arrays(tmp_path / "x.npz")


def test_arrays_that_are_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match="no data"):
        load_arrays(tmp_path / "x.npz")
    for name in ("x.npz", "x.npy", "x.safetensors", "x.csv"):
        (tmp_path / name).write_bytes(b"1,2,3")
        with pytest.raises(ValueError, match="cannot be read as arrays"):
            load_arrays(tmp_path / name)


def command(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["largestep", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return stop.code
    return 0


def test_tokens_are_taken_as_they_are(tmp_path):
    for dtype in (np.int32, np.int64):
        np.save(tmp_path / "x.npy", np.arange(6, dtype=dtype).reshape(2, 3))
        inputs, _ = load_arrays(tmp_path / "x.npy")
        assert inputs.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert inputs.numpy().dtype == dtype


def test_the_command_line(net, tmp_path, monkeypatch, capsys):
    save_file(weights(dead=[1, 4]), tmp_path / "w.safetensors")
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    np.savez(tmp_path / "x.npz", inputs=x, labels=np.arange(40) % 3)
    out = tmp_path / "small"
    arguments = ["--weights", tmp_path / "w.safetensors", "--data", tmp_path / "x.npz"]
    assert command(monkeypatch, "compact", f"{net}:build", *arguments, "--out", out) == 0
    assert "accuracy on held-out data" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["layers"][0]["dead"] == 2
    assert load_file(out / "model.safetensors")["layer_0.weight"].shape == (4, 4)
    assert (out / "figure.svg").is_file()
    # What is written can be loaded, and compacted again: nothing is left to go.
    code = f"{out / 'model.py'}:Model"
    smaller, original = load_model(code), load_model(f"{net}:build", arguments[1])
    torch.testing.assert_close(smaller(torch.from_numpy(x)), original(torch.from_numpy(x)))
    again = ["compact", code, "--data", tmp_path / "x.npz", "--out", tmp_path / "smaller"]
    assert command(monkeypatch, *again) == 0
    report = json.loads((tmp_path / "smaller" / "report.json").read_text())
    assert report["parameters_before"] == report["parameters_after"]


def test_the_command_line_on_a_run(tmp_path, monkeypatch, capsys):
    path = tmp_path / "run"
    run_folder(path, classes=10, channels=1, widths=[4, 8])
    assert command(monkeypatch, "compact", path, "--out", tmp_path / "o", "--examples", 50) == 0
    assert json.loads((tmp_path / "o" / "report.json").read_text())["batch_size"] == 50
    # The smaller model has the run's data, and can be measured and compacted like the run.
    code = f"{tmp_path / 'o' / 'model.py'}:Model"
    (x, _), _ = load_data(None, None, code)
    assert len(x) == 300
    assert command(monkeypatch, "measure", code, "--out", tmp_path / "m") == 0


def test_the_command_line_says_what_is_wrong(net, tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "compact", f"{net}:build", "--out", tmp_path / "o") == 1
    assert "must be named with --data" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_code_in_a_folder_is_not_run_unless_it_is_named(tmp_path, monkeypatch, capsys):
    path = tmp_path / "run"
    run_folder(path, classes=10, channels=1, widths=[4, 8])
    trap = "open('trapped', 'w').close()\nfrom torch.nn import Identity as Model"
    (path / "model.py").write_text(trap)
    monkeypatch.chdir(tmp_path)
    for name in ("measure", "compact"):
        assert command(monkeypatch, name, path, "--examples", 20, "--out", f"o-{name}") == 0
        (path / "config.json").rename("config.json")
        assert command(monkeypatch, name, path, "--examples", 20, "--out", "other") == 1
        assert f"name {path}/model.py:Model" in capsys.readouterr().err
        (tmp_path / "config.json").rename(path / "config.json")
    # What `compact` has written says itself that it is code.
    assert command(monkeypatch, "measure", "o-compact") == 1
    assert "name o-compact/model.py:Model" in capsys.readouterr().err
    assert command(monkeypatch, "measure", "o-compact/model.py:Model") == 0
    assert not (tmp_path / "trapped").exists()


def test_compacting_overwrites_no_run_and_leaves_nothing_of_the_model_before(
    net, tmp_path, monkeypatch, capsys
):
    path, out = tmp_path / "run", tmp_path / "out"
    run_folder(path, classes=10, channels=1, widths=[4, 8])
    whole = (path / "model.safetensors").read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "checkpoint.safetensors").touch()
    for there, message in ((path, "holds the model itself"), ("other", "holds a training run")):
        assert command(monkeypatch, "compact", path, "--out", tmp_path / there) == 1
        assert message in capsys.readouterr().err
    assert (path / "model.safetensors").read_bytes() == whole
    assert command(monkeypatch, "compact", path, "--examples", 20, "--out", out) == 0
    save_file(weights(), tmp_path / "w.safetensors")
    np.save(tmp_path / "x.npy", np.arange(16, dtype=np.float32).reshape(4, 4))
    arguments = ["--weights", tmp_path / "w.safetensors", "--data", tmp_path / "x.npy"]
    assert command(monkeypatch, "compact", f"{net}:build", *arguments, "--out", out) == 0
    with pytest.raises(ValueError, match="must be named with --data"):
        load_data(None, None, f"{out / 'model.py'}:Model")


def test_every_flipped_bit_in_weights_is_noticed_or_changes_nothing(tmp_path):
    tensors = {"x": torch.arange(6.0).reshape(2, 3), "flag": torch.tensor(True)}
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights_to_bytes(tensors))
    whole = path.read_bytes()
    unseen = 0
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = read_weights(path)
        except ValueError as error:
            said = str(error)
        else:
            unseen += 1
            assert found.keys() == tensors.keys()
            assert all(torch.equal(found[name], tensors[name]) for name in tensors)
            assert all(found[name].dtype == tensors[name].dtype for name in tensors)
            continue
        assert "w.safetensors is damaged" in said
    assert unseen < 0.05 * 8 * len(whole)
    save_file(tensors, path)  # as others write them
    assert torch.equal(read_weights(path)["x"], tensors["x"])


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.safetensors"])
def test_damaged_arrays_are_one_line_that_names_them(tmp_path, name):
    x = np.arange(12.0).reshape(6, 2)
    path = tmp_path / name
    if name == "x.npz":
        np.savez_compressed(path, inputs=x)
    elif name == "x.npy":
        np.save(path, x)
    else:
        save_file({"inputs": torch.from_numpy(x)}, path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        said = name
        try:
            load_arrays(path)
        except (ValueError, TypeError) as error:
            said = str(error)
        assert name in said
