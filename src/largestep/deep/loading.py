"""Models and data of the user's own, from files: errors say what is missing or doesn't fit."""

import io
import pickle
import runpy
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from largestep import _files
from largestep.deep import data as datasets
from largestep.deep import models
from largestep.deep._untouched import random_states_restored
from largestep.deep.weights import read as read_tensors

__all__ = [
    "Part",
    "home_of",
    "load_arrays",
    "load_data",
    "load_made",
    "load_model",
    "load_search",
    "read_weights",
]

Part = tuple[Tensor, Tensor | None]
"""Inputs, and labels if there are any."""

_NEEDED = {
    "settings": ("model", "model_settings"),
    "data": ("name", "training examples", "classes"),
}
"""What a run's configuration must say for its model and its data to be had again."""


def load_model(spec: str, weights: Path | None = None) -> nn.Module:
    """Return a model in evaluation mode, on the CPU.

    Naming a Python file runs it, with all rights of whoever runs the command: name only files
    that you trust. A folder is data: what code it holds is not run. Weights are never unpickled.

    Parameters
    ----------
    spec : ``FILE.py:function``, where the function takes no arguments and returns the model (a
        class of modules does too); or a folder that ``largestep train`` has filled. What
        ``largestep compact`` has made is ``FOLDER/model.py:Model``.
    weights : a state dictionary, as .safetensors, or as what `torch.save` writes. A folder has
        its own, and so has a ``model.py`` with a ``model.safetensors`` beside it.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    TypeError
        If the function returns no `torch.nn.Module`.
    ValueError
        If there is no such function, the folder's model is code, or the weights do not fit the
        model: the error names the parameters that are missing and those that are too many.
    """
    folder = Path(spec)
    if folder.is_dir():
        if weights is not None:
            raise ValueError(f"{folder} has weights of its own: leave {weights} out")
        weights = folder / "model.safetensors"
        model = _described(folder)
    else:
        file, _, function = spec.rpartition(":")
        if not file.endswith(".py"):
            raise ValueError(f"model must be FILE.py:function or the folder of a run, got {spec!r}")
        model = load_made(Path(file), function)
        if not isinstance(model, nn.Module):
            raise TypeError(f"{spec} must return a torch.nn.Module, got {type(model)}")
        beside = Path(file).with_name("model.safetensors")
        if weights is None and Path(file).name == "model.py" and beside.is_file():
            weights = beside
        if weights is None:
            print(
                f"No weights are given: the model is as {function} returns it, at random unless it "
                "loads weights itself",
                file=sys.stderr,
            )
    if weights is not None:
        _fill(model, read_weights(weights), weights)
    return model.eval()


def load_arrays(path: Path) -> tuple[Tensor, Tensor | None]:
    """Return inputs, as the model takes them, and labels if there are any.

    Parameters
    ----------
    path : .npy with the inputs alone; .npz or .safetensors with ``inputs`` and perhaps ``labels``.
        Inputs must be floating-point numbers, normalised as in training, or integers of 32 or 64
        bits, which are tokens.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If it is missing, of another kind or damaged, holds no inputs, or inputs of another type.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no data at {path}")
    try:
        held = _arrays(path)
    except Exception as error:  # a damaged file raises nearly anything
        raise ValueError(f"{path} cannot be read as arrays: {error}") from error
    if "inputs" not in held:
        raise ValueError(
            f"{path} must hold an array called inputs, got {', '.join(held) or 'none at all'}"
        )
    inputs, labels = held["inputs"], held.get("labels")
    if not (inputs.is_floating_point() or inputs.dtype in (torch.int32, torch.int64)):
        raise TypeError(
            f"inputs in {path} must be floating-point numbers, normalised as in training, or "
            f"tokens as int32 or int64, got {inputs.dtype}"
        )
    if inputs.ndim < 2 or len(inputs) == 0:
        raise ValueError(
            f"inputs in {path} must have shape (n, channels, …), got {tuple(inputs.shape)}"
        )
    if not bool(inputs.isfinite().all()):
        raise ValueError(f"inputs in {path} must be finite, got NaN or infinity")
    if labels is not None and len(labels) != len(inputs):
        raise ValueError(f"{path} holds {len(inputs)} inputs and {len(labels)} labels")
    return inputs, labels


def load_data(data: str | None, folder: Path | None, model: str) -> tuple[Part, Part]:
    """Return two parts of some data: what to calibrate or measure on, and what is held out.

    Parameters
    ----------
    data : a file, as `load_arrays` takes it, of which every other example is held out; or the
        name of a data set, whose test images are. None for the data that the model was trained
        on, where its folder says which.
    folder : holds the data set's files.
    model : as `load_model` takes it.

    Raises
    ------
    ValueError
        If nothing says which data, they are not those of the run, or a file holds a single example.
    """
    train = digest = None
    if data is None:
        home = home_of(model)
        if not (home / "config.json").is_file():
            raise ValueError("data must be named with --data: a file or a data set")
        described = _configuration(home)["data"]
        data, train = described["name"], described["training examples"]
        digest = described.get("digest")
    if data.partition(":")[0] in datasets.NAMES:
        # As many as the run had: the images' mean and deviation are theirs.
        held = datasets.load(data, folder, train=train)
        if digest not in (None, held.digest()):
            raise ValueError(
                f"{data} is not what {model} was trained on: its digest is {held.digest()}, the "
                f"run's {digest}. Other versions made it, or files have changed"
            )
        return (
            (held.normalise(held.x_train), held.y_train),
            (held.normalise(held.x_test), held.y_test),
        )
    inputs, labels = load_arrays(Path(data))
    if len(inputs) < 2:
        raise ValueError(f"{data} must hold at least 2 inputs, one to hold out")
    first, second = (
        (inputs[start::2], None if labels is None else labels[start::2]) for start in (0, 1)
    )
    return first, second


def home_of(spec: str) -> Path:
    """Return the folder in which a model, as `load_model` takes it, lies."""
    return Path(spec) if Path(spec).is_dir() else Path(spec.rpartition(":")[0]).parent


def _described(folder: Path) -> nn.Module:
    """Return the model that a folder describes by data."""
    path = folder / "config.json"
    as_code = (folder / "model.py").is_file()
    if as_code and (not path.is_file() or "definition" in _files.read_json(path)):
        raise ValueError(
            f"{folder} holds its model as code, which is run only if it is named: if you trust "
            f"it, name {folder / 'model.py'}:Model"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no config.json: name a folder that `largestep train` has filled"
        )
    config = _configuration(folder)
    settings, data = config["settings"], config["data"]
    try:
        return models.build(
            settings["model"],
            data["classes"],
            **{name: data[name] for name in ("channels", "context") if name in data},
            **settings["model_settings"],
        )
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise ValueError(f"{path} describes no model: {error}") from error


def _configuration(folder: Path) -> dict[str, Any]:
    """Return the configuration of a training run: its settings and data."""
    path = folder / "config.json"
    content = _files.read_json(path)
    try:
        config: dict[str, Any] = content["configuration"]
        for group, names in _NEEDED.items():
            for name in names:
                config[group][name]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the configuration of a training run: {error!r}") from error
    return config


def load_search(spec: str) -> tuple[nn.Module, Any, Any, Any]:
    """Return a model, batches, a loss, and what makes the optimizer, None if nothing does.

    Parameters
    ----------
    spec : ``FILE.py:function``, where the function takes no arguments and returns the model, the
        batches and the loss, and perhaps what makes the optimizer. The file is run.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If there is no such file or function, or it returns something else.
    """
    file, _, function = spec.rpartition(":")
    if not file.endswith(".py"):
        raise ValueError(f"what to train must be FILE.py:function, got {spec!r}")
    made = load_made(Path(file), function)
    parts = list(made) if isinstance(made, tuple | list) else [made]
    wanted = (nn.Module, Iterable, Callable, Callable)
    if len(parts) not in (3, 4) or not all(map(isinstance, parts, wanted)):
        raise TypeError(
            f"{spec} must return the model, the batches and a function loss(model, batch), and "
            "perhaps a function that makes the optimizer of parameters; got "
            + ", ".join(type(part).__name__ for part in parts)
        )
    model, batches, loss, *optimizer = parts
    return model, batches, loss, optimizer[0] if optimizer else None


def load_made(path: Path, function: str) -> Any:
    """Run a Python file, with all rights of whoever runs it, and return what its function returns.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it has no such function.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    with random_states_restored():
        defined = runpy.run_path(str(path))
        make = defined.get(function)
        result = make() if callable(make) else None
    if not callable(make):
        own = [
            name
            for name, value in defined.items()
            if callable(value) and getattr(value, "__module__", None) == defined["__name__"]
        ]
        raise ValueError(f"{path} has no function {function!r}; it has {', '.join(own) or 'none'}")
    return result


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return a state dictionary, on the CPU, or say why the file holds none, or is damaged."""
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} cannot be read as weights: it must be .safetensors, or what torch.save makes "
            "of model.state_dict(); a whole model is never unpickled"
        ) from error
    if not isinstance(held, dict) or not all(isinstance(v, Tensor) for v in held.values()):
        found = _some(map(str, held)) if isinstance(held, dict) else type(held).__name__
        raise ValueError(
            f"{path} must hold a state dictionary: save model.state_dict(); got {found}"
        )
    return held


def _fill(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Load a state dictionary, in its own precision, or say what doesn't fit."""
    expected = model.state_dict(keep_vars=True)
    # Files may hold what several names share under one of them.
    names = {id(expected[name]): name for name in weights if name in expected}
    shared = {name: names[id(value)] for name, value in expected.items() if id(value) in names}
    weights = {name: weights[held] for name, held in shared.items()} | weights
    wrong = {
        "missing": [name for name in expected if name not in weights],
        "not in the model": [name for name in weights if name not in expected],
        "of another shape": [
            name
            for name in expected.keys() & weights
            if expected[name].shape != weights[name].shape
        ],
    }
    if any(wrong.values()):
        listed = "; ".join(f"{kind}: {_some(names)}" for kind, names in wrong.items() if names)
        raise ValueError(f"the weights in {path} do not fit the model: {listed}")
    dtype = next((w.dtype for w in weights.values() if w.is_floating_point()), torch.float32)
    model.to(dtype).load_state_dict(weights)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(sorted(names)[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _arrays(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    content = io.BytesIO(_files.read_bytes(path))
    if path.suffix == ".npy":
        return {"inputs": torch.from_numpy(np.load(content, allow_pickle=False))}
    if path.suffix == ".npz":
        with np.load(content, allow_pickle=False) as held:
            return {name: torch.from_numpy(held[name]) for name in held.files}
    raise ValueError("it must be .npy, .npz or .safetensors")
