import hashlib
import io
import os
import socket
import tarfile
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chisquare
from sklearn.datasets import load_digits

from largestep.deep import data, weights
from largestep.deep.data import Dataset, archives, augment, permutation
from largestep.deep.data.cifar import CIFAR10, CIFAR100
from largestep.deep.data.tiny_imagenet import TINY_IMAGENET

RECORDS = 4


# ---- files in the real formats, but small -----------------------------------------------------


def small_cifar(source, rng):
    """Return the source with a few records a file, its files, and the records of each."""
    source = replace(
        source,
        train=dict.fromkeys(source.train, RECORDS),
        test=dict.fromkeys(source.test, RECORDS + 1),
    )
    records = {
        name: np.hstack(
            [
                *(rng.integers(0, values, (n, 1), dtype=np.uint8) for values in source.labels),
                rng.integers(0, 256, (n, 3072), dtype=np.uint8),
            ]
        )
        for name, n in (source.train | source.test).items()
    }
    files = {name: content.tobytes() for name, content in records.items()}
    files["batches.meta.txt"] = b"airplane\n"
    return source, files, records


def jpeg(rng, size=(64, 64), mode="RGB", form="JPEG"):
    pixels = rng.integers(0, 256, (size[1], size[0], *(() if mode == "L" else (3,))), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def small_tiny_imagenet(rng):
    """Return a source of 3 classes, 2 training and 4 test images, and its files."""
    source = replace(TINY_IMAGENET, classes=3, train=2, test=4)
    identifiers = ["n02000000", "n01000000", "n03000000"]
    files = {"wnids.txt": "\n".join(identifiers).encode()}
    for number, identifier in enumerate(identifiers):
        for image in range(2):
            mode = "L" if number == image == 1 else "RGB"
            files[f"train/{identifier}/images/{identifier}_{image}.JPEG"] = jpeg(rng, mode=mode)
    lines = [f"val_{image}.JPEG\t{identifiers[image % 3]}\t0\t32\t44\t62\n" for image in range(4)]
    files["val/val_annotations.txt"] = "".join(lines).encode()
    for image in range(4):
        files[f"val/images/val_{image}.JPEG"] = jpeg(rng)
    return source, files


def unpacked(source, files, folder):
    for name, content in files.items():
        file = folder / source.archive.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return source


def packed(source, files, folder):
    """Write the archive, and return the source with the archive's size and checksum."""
    file = folder / source.archive.url.rpartition("/")[2]
    members = {f"{source.archive.root}/{name}": content for name, content in files.items()}
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(file, "w:gz") as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    content = file.read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    return replace(source, archive=replace(source.archive, size=len(content), md5=md5))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used without being asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def loads(monkeypatch, no_network):
    """Load from a source put in the place of the published one."""

    def load(source, folder, name="cifar10", **settings):
        monkeypatch.setitem(data._SOURCES, name, source)
        return data.load(name, folder, **settings)

    return load


# ---- CIFAR -----------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [packed, unpacked])
@pytest.mark.parametrize("published", [CIFAR10, CIFAR100])
def test_cifar_is_read_as_written(rng, tmp_path, loads, published, write):
    source, files, records = small_cifar(published, rng)
    loaded = loads(write(source, files, tmp_path), tmp_path)
    assert loaded.classes == published.labels[-1]
    first = len(published.labels)
    for x, y, names in (
        (loaded.x_train, loaded.y_train, published.train),
        (loaded.x_test, loaded.y_test, published.test),
    ):
        rows = np.vstack([records[name] for name in names])
        assert x.shape == (len(rows), 3, 32, 32)
        assert x.is_contiguous()
        # The class is the last label: the fine one of CIFAR-100.
        assert y.tolist() == rows[:, first - 1].tolist()
        for image, channel, row, column in [(0, 0, 0, 1), (1, 1, 2, 0), (3, 2, 31, 30)]:
            byte = rows[image, first + 1024 * channel + 32 * row + column]
            assert x[image, channel, row, column] == byte
        assert (x.flatten(1).numpy() == rows[:, first:]).all()


def test_the_unpacked_folder_itself_may_be_named(rng, tmp_path, loads):
    source, files, _ = small_cifar(CIFAR10, rng)
    unpacked(source, files, tmp_path)
    assert len(loads(source, tmp_path / source.archive.root).x_train) == 5 * RECORDS


def test_files_have_the_published_sizes():
    def sizes(source):
        return {
            name: n * (3072 + len(source.labels))
            for name, n in (source.train | source.test).items()
        }

    assert set(sizes(CIFAR10).values()) == {30_730_000}
    assert sizes(CIFAR100) == {"train.bin": 153_700_000, "test.bin": 30_740_000}


@pytest.mark.parametrize("write", [packed, unpacked])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("data_batch_3.bin", lambda c: c[:-1], "data_batch_3.bin has 12291 bytes, expected 12292"),
        ("data_batch_3.bin", lambda c: c[:3073], "4 records of 3073"),
        ("test_batch.bin", lambda c: c + b"\0", "test_batch.bin has 15366 bytes"),
        ("test_batch.bin", lambda c: b"", "test_batch.bin has 0 bytes"),
        ("data_batch_1.bin", None, "incomplete: it has no data_batch_1.bin"),
        (
            "data_batch_5.bin",
            lambda c: c[:3073] + b"\x0a" + c[3074:],
            "data_batch_5.bin has label 10 in record 1, expected 0 to 9",
        ),
    ],
)
def test_damaged_files_are_named(rng, tmp_path, loads, write, name, change, message):
    source, files, _ = small_cifar(CIFAR10, rng)
    content = files.pop(name)
    if change is not None:
        files[name] = change(content)
    source = write(source, files, tmp_path)
    with pytest.raises(ValueError, match=message):
        loads(source, tmp_path)


@pytest.mark.parametrize(("position", "values"), [(0, 20), (1, 100)])
def test_both_labels_of_cifar100_are_checked(rng, tmp_path, loads, position, values):
    source, files, _ = small_cifar(CIFAR100, rng)
    content = bytearray(files["test.bin"])
    content[2 * 3074 + position] = values
    files["test.bin"] = bytes(content)
    with pytest.raises(ValueError, match=f"label {values} in record 2, expected 0 to {values - 1}"):
        loads(unpacked(source, files, tmp_path), tmp_path)


# ---- archives --------------------------------------------------------------------------------


def test_an_archive_with_one_wrong_bit_or_cut_short_is_refused(rng, tmp_path, loads):
    source, files, _ = small_cifar(CIFAR10, rng)
    source = packed(source, files, tmp_path)
    file = tmp_path / "cifar-10-binary.tar.gz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    found = hashlib.md5(content).hexdigest()
    with pytest.raises(ValueError, match=rf"{file} is damaged: .*{found}.*{source.archive.md5}"):
        loads(source, tmp_path)
    file.write_bytes(content[:-7])
    with pytest.raises(ValueError, match=rf"{file} has {len(content) - 7} bytes, expected"):
        loads(source, tmp_path)


def test_the_published_checksum_is_asked_for(rng, tmp_path, no_network):
    source, files, _ = small_cifar(CIFAR10, rng)
    packed(source, files, tmp_path)
    with pytest.raises(
        ValueError, match=r"expected 170052171.*MD5 c32a1d4ab5d03f1284b67883e8d87530"
    ):
        data.load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "cifar10",
            [
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "170052171 bytes",
                "c32a1d4ab5d03f1284b67883e8d87530",
                "cifar-10-batches-bin",
            ],
        ),
        (
            "cifar100",
            [
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                "168513733 bytes",
                "03b5dce01913d631647c71ecec9e9cb8",
                "cifar-100-binary",
            ],
        ),
        (
            "tiny-imagenet",
            [
                "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                "248100043 bytes",
                "90528d7ca1a48142e341f4ef8d21d0de",
                "tiny-imagenet-200",
            ],
        ),
    ],
)
def test_missing_data_say_what_to_get_and_where_to_put_it(tmp_path, no_network, name, said):
    folder = tmp_path / "nothing here"
    with pytest.raises(FileNotFoundError) as caught:
        data.load(name, folder)
    for part in (*said, str(folder)):
        assert part in str(caught.value)
    assert "pickle" not in str(caught.value)
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["folder", "archive"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_pickles_are_not_read(tmp_path, no_network, name, kind):
    title = name.replace("cifar", "cifar-")
    if kind == "archive":
        pickled = tmp_path / f"{title}-python.tar.gz"
        pickled.write_bytes(b"not to be opened")
    else:
        pickled = tmp_path / ("cifar-10-batches-py" if name == "cifar10" else "cifar-100-python")
        pickled.mkdir()
    with pytest.raises(FileNotFoundError, match=rf"{pickled.name} is not read.*pickles.*any code"):
        data.load(name, tmp_path)


def test_reading_an_archive_writes_nothing_and_follows_no_link_out(rng, tmp_path, loads):
    source, files, _ = small_cifar(CIFAR10, rng)
    secret = tmp_path / "secret.bin"
    secret.write_bytes(files.pop("test_batch.bin"))
    folder = tmp_path / "data"
    folder.mkdir()
    packed(source, files, folder)
    file = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{source.archive.root}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo(f"{source.archive.root}/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
        outside = tarfile.TarInfo("../outside.bin")
        archive.addfile(outside)
    content = file.read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    source = replace(source, archive=replace(source.archive, size=len(content), md5=md5))
    with pytest.raises(ValueError, match=r"has no test_batch\.bin"):
        loads(source, folder)
    assert sorted(tmp_path.rglob("*")) == sorted([secret, folder, file])


@pytest.fixture
def server(tmp_path):
    """Serve a folder over HTTP on this machine; yields the folder and its address."""
    folder = tmp_path / "published"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_download_that_is_asked_for_is_checked(rng, tmp_path, monkeypatch, server):
    published, address = server
    source, files, records = small_cifar(CIFAR10, rng)
    source = packed(source, files, published)
    source = replace(
        source, archive=replace(source.archive, url=f"{address}/cifar-10-binary.tar.gz")
    )
    folder = tmp_path / "new" / "folder"
    monkeypatch.setitem(data._SOURCES, "cifar10", source)
    loaded = data.load("cifar10", folder, download=True)
    assert (loaded.x_test.flatten(1).numpy() == records["test_batch.bin"][:, 1:]).all()
    assert [file.name for file in folder.iterdir()] == ["cifar-10-binary.tar.gz"]

    wrong = replace(source, archive=replace(source.archive, md5="0" * 32))
    monkeypatch.setitem(data._SOURCES, "cifar10", wrong)
    other = tmp_path / "other"
    with pytest.raises(ValueError, match="hash"):
        data.load("cifar10", other, download=True)
    assert list(other.iterdir()) == []

    gone = replace(source, archive=replace(source.archive, url=f"{address}/gone.tar.gz"))
    monkeypatch.setitem(data._SOURCES, "cifar10", gone)
    with pytest.raises(OSError, match=r"gone\.tar\.gz"):
        data.load("cifar10", other, download=True)


# ---- Tiny ImageNet ---------------------------------------------------------------------------


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)


@pytest.mark.parametrize("write", [packed, unpacked])
def test_tiny_imagenet_is_read_once_and_kept(rng, tmp_path, loads, write):
    source, files = small_tiny_imagenet(rng)
    source = write(source, files, tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    loaded = loads(source, tmp_path, "tiny-imagenet")
    # Classes are numbered in the order of their identifiers, not of the list.
    assert loaded.y_train.tolist() == [0, 0, 1, 1, 2, 2]
    assert loaded.y_test.tolist() == [1, 0, 2, 1]
    order = ["n01000000", "n02000000", "n03000000"]
    train = [f"train/{name}/images/{name}_{image}.JPEG" for name in order for image in range(2)]
    for x, names in (
        (loaded.x_train, train),
        (loaded.x_test, [f"val/images/val_{image}.JPEG" for image in range(4)]),
    ):
        assert (x.numpy() == np.stack([decoded(files[name]) for name in names])).all()
    grey = loaded.x_train[1]
    assert torch.equal(grey[0], grey[1])

    after = {file for file in tmp_path.rglob("*") if file.is_file()}
    assert after - set(before) == {tmp_path / "tiny-imagenet-200.safetensors"}
    for file, content in before.items():
        assert file.read_bytes() == content
        file.unlink()
    again = loads(source, tmp_path, "tiny-imagenet")
    for key, value in vars(loaded).items():
        assert torch.equal(value, vars(again)[key]) if torch.is_tensor(value) else True


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("val/images/val_2.JPEG", None, r"incomplete: it has no val/images/val_2\.JPEG"),
        ("val/images/val_2.JPEG", lambda c, rng: c[: len(c) // 2], "val_2.JPEG is damaged"),
        ("val/images/val_2.JPEG", lambda c, rng: b"", "val_2.JPEG is damaged"),
        ("val/images/val_2.JPEG", lambda c, rng: b"no image", "val_2.JPEG is damaged"),
        ("val/images/val_2.JPEG", lambda c, rng: jpeg(rng, form="PNG"), "val_2.JPEG is damaged"),
        (
            "train/n01000000/images/n01000000_1.JPEG",
            lambda c, rng: jpeg(rng, (64, 32)),
            r"n01000000_1.JPEG must be an image of 64 × 64 pixels, got 64 × 32",
        ),
        ("wnids.txt", lambda c, rng: b"n01000000\nn02000000", "list 3 .*, got 2 entries"),
        ("wnids.txt", lambda c, rng: b"n01000000 n02000000 n01000000", "got 2 entries"),
        ("wnids.txt", lambda c, rng: b"../../../a n02000000 n01000000", "list 3 WordNet"),
        ("wnids.txt", lambda c, rng: b"\xff\xfe", "got 1 entries"),
        ("val/val_annotations.txt", lambda c, rng: c[: c.rindex(b"val_3")], "3 lines, expected 4"),
        ("val/val_annotations.txt", lambda c, rng: c + b"\n", "in each line, got ''"),
        ("val/val_annotations.txt", lambda c, rng: c.replace(b"n02", b"n09", 1), "in each line"),
        (
            "val/val_annotations.txt",
            lambda c, rng: c.replace(b"val_0.JPEG", b"../../secret.JPEG"),
            "in each line, got '../../secret",
        ),
    ],
)
def test_what_is_wrong_with_tiny_imagenet_is_named(rng, tmp_path, loads, name, content, message):
    source, files = small_tiny_imagenet(rng)
    original = files.pop(name)
    if content is not None:
        files[name] = content(original, rng)
    unpacked(source, files, tmp_path)
    with pytest.raises(ValueError, match=message):
        loads(source, tmp_path, "tiny-imagenet")
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_damaged_cache_is_named(rng, tmp_path, loads):
    source, files = small_tiny_imagenet(rng)
    unpacked(source, files, tmp_path)
    loads(source, tmp_path, "tiny-imagenet")
    cache = tmp_path / "tiny-imagenet-200.safetensors"
    cache.write_bytes(cache.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"{cache} is not what .* is damaged.*delete it"):
        loads(source, tmp_path, "tiny-imagenet")


def test_a_cache_that_cannot_be_written_is_a_warning(rng, tmp_path, loads):
    source, files = small_tiny_imagenet(rng)
    unpacked(source, files, tmp_path)
    (tmp_path / "tiny-imagenet-200.safetensors").mkdir()
    with pytest.warns(UserWarning, match="could not be kept"):
        assert len(loads(source, tmp_path, "tiny-imagenet").x_train) == 6
    assert {path.name for path in tmp_path.iterdir()} == {
        "tiny-imagenet-200",
        "tiny-imagenet-200.safetensors",
    }


# ---- digits and what they share --------------------------------------------------------------


def test_digits_are_split_once_and_for_all():
    digits = data.load("digits", "/nowhere")
    assert digits.x_train.shape == (1000, 1, 8, 8)
    assert digits.x_test.shape == (797, 1, 8, 8)
    parts = [(digits.x_train, digits.y_train), (digits.x_test, digits.y_test)]
    found = torch.cat([torch.column_stack([x.flatten(1), y]) for x, y in parts])
    bundled = load_digits()
    assert sorted(found.tolist()) == sorted(
        np.column_stack([*bundled.data.T, bundled.target]).tolist()
    )
    shares = np.bincount(bundled.target) / 1797
    assert np.abs(np.bincount(digits.y_train) - 1000 * shares).max() <= 1
    digest = hashlib.sha256(digits.x_test.numpy().tobytes()).hexdigest()
    assert digest.startswith("834de96b9617300c")


def test_fewer_training_images_are_some_of_all():
    digits, few = data.load("digits"), data.load("digits", train=500)
    assert torch.equal(few.x_test, digits.x_test)
    every = {image.numpy().tobytes() for image in digits.x_train}
    some = {image.numpy().tobytes() for image in few.x_train}
    assert len(some) == len(few.y_train) == 500
    assert some < every
    assert torch.equal(few.x_train, data.load("digits", train=500).x_train)
    assert torch.equal(few.x_train[:20], data.load("digits", train=20).x_train)
    normalised = few.normalise(few.x_train)
    assert float(normalised.mean()) == pytest.approx(0, abs=1e-5)
    assert float(normalised.std()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.load("mnist"), ValueError, "'mnist': choose from digits, glyphs, cifar10"),
        (lambda: data.load("digits", train=1001), ValueError, "train must be at most 1000"),
        (lambda: data.load("digits", train=0), ValueError, "train must be at least 1"),
        (lambda: data.load("digits", train=0.5), TypeError, "train must be an integer"),
    ],
)
def test_what_cannot_be_loaded(call, error, message):
    with pytest.raises(error, match=message):
        call()


def images(*shape):
    return torch.zeros(shape, dtype=torch.uint8)


def labels(*values):
    return torch.tensor(values)


def test_channels_are_normalised_with_the_training_images(rng):
    x = torch.from_numpy(rng.integers(0, 256, (50, 2, 7, 5), dtype=np.uint8))
    x[:, 1] = 7
    made = Dataset.of("own", x, torch.zeros(50, dtype=torch.int64), x[:3], labels(0, 1, 0), 2)
    values = x[:, 0].double()
    assert float(made.mean[0]) == pytest.approx(float(values.mean()), rel=1e-6)
    assert float(made.std[0]) == pytest.approx(float(values.std(correction=0)), rel=1e-6)
    assert (made.mean[1], made.std[1]) == (7, 1)
    normalised = made.normalise(made.x_test)
    assert normalised.dtype == torch.float32
    torch.testing.assert_close(
        normalised[:, 0], (made.x_test[:, 0].float() - made.mean[0]) / made.std[0]
    )
    assert not normalised[:, 1].any()
    moved = made.to("meta")
    assert {value.device.type for value in vars(moved).values() if torch.is_tensor(value)} == {
        "meta"
    }
    assert (moved.name, moved.classes) == ("own", 2)


@pytest.mark.parametrize(
    ("x", "y", "x_test", "y_test", "error", "message"),
    [
        (
            images(2, 1, 3, 3).float(),
            labels(0, 1),
            images(1, 1, 3, 3),
            labels(0),
            TypeError,
            "uint8",
        ),
        (images(2, 1, 3, 3), labels(0, 1).int(), images(1, 1, 3, 3), labels(0), TypeError, "int64"),
        (
            images(2, 3, 3),
            labels(0, 1),
            images(1, 3, 3),
            labels(0),
            ValueError,
            "x_train must have",
        ),
        (images(2, 1, 3, 3), labels(0), images(1, 1, 3, 3), labels(0), ValueError, "y_train"),
        (images(2, 1, 3, 3), labels(0, 1), images(0, 1, 3, 3), labels(), TypeError, "y_test int64"),
        (
            images(2, 1, 3, 3),
            labels(0, 1),
            images(0, 1, 3, 3),
            labels().long(),
            ValueError,
            "x_test must have shape",
        ),
        (
            images(2, 1, 3, 3),
            labels(0, 2),
            images(1, 1, 3, 3),
            labels(0),
            ValueError,
            "from 0 to 2",
        ),
        (images(2, 1, 3, 3), labels(-1, 1), images(1, 1, 3, 3), labels(0), ValueError, "from -1"),
        (images(2, 1, 3, 3), labels(0, 1), images(1, 3, 3, 3), labels(0), ValueError, "one shape"),
    ],
)
def test_a_dataset_of_ones_own_is_checked(x, y, x_test, y_test, error, message):
    with pytest.raises(error, match=message):
        Dataset.of("own", x, y, x_test, y_test, 2)


# ---- augmentation and order ------------------------------------------------------------------


def outcomes(image):
    """Return the 162 augmentations of one image, by slicing."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    crops = [
        padded[:, top : top + height, left : left + width] for top in range(9) for left in range(9)
    ]
    return np.stack([*crops, *(crop[:, :, ::-1] for crop in crops)])


@given(st.integers(1, 4), st.integers(5, 13), st.integers(5, 13), st.integers(0, 99), st.booleans())
@settings(deadline=None, max_examples=25)
def test_every_augmentation_is_one_of_the_reference(channels, height, width, seed, single):
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 256, (12, channels, height, width), dtype=np.uint8)
    given = torch.from_numpy(x.astype(np.float32) if single else x)
    if seed % 2:
        given = given.to(memory_format=torch.channels_last)
    out = augment(given, torch.Generator().manual_seed(seed))
    assert out.dtype == given.dtype
    assert (given.numpy() == x).all()
    for image, result in zip(x, out.numpy(), strict=True):
        assert (outcomes(image) == result).all((1, 2, 3)).any()


def test_all_augmentations_are_equally_likely():
    image = np.random.default_rng(0).integers(1, 256, (3, 5, 6), dtype=np.uint8)
    every = outcomes(image).reshape(162, -1)
    assert len(np.unique(every, axis=0)) == 162
    number = {row.tobytes(): index for index, row in enumerate(every)}
    draws = torch.from_numpy(image).expand(162 * 100, -1, -1, -1)
    out = augment(draws, torch.Generator().manual_seed(0)).flatten(1).numpy()
    counts = np.bincount([number[row.tobytes()] for row in out], minlength=162)
    assert chisquare(counts).pvalue > 1e-3
    # Nor does an image's draw depend on the one before it.
    flips = np.array([number[row.tobytes()] >= 81 for row in out])
    assert abs(np.corrcoef(flips[1:], flips[:-1])[0, 1]) < 0.03


def test_crops_without_flips_and_with_less_padding():
    image = np.random.default_rng(0).integers(1, 256, (1, 5, 6), dtype=np.uint8)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    every = {padded[:, t : t + 5, s : s + 6].tobytes() for t in range(3) for s in range(3)}
    draws = torch.from_numpy(image).expand(500, -1, -1, -1)
    out = augment(draws, torch.Generator().manual_seed(0), padding=1, flips=False)
    assert {crop.tobytes() for crop in out.numpy()} == every


def test_augmentation_follows_the_generator_alone():
    x = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(1)
    first, second = augment(x, generator), augment(x, generator)
    assert torch.equal(first, augment(x, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(ValueError, match=r"images must have shape .* got \(3, 32, 32\)"):
        augment(x[0], generator)


@given(st.integers(1, 300), st.integers(0, 2**63), st.integers(0, 1000))
def test_orders_are_permutations_fixed_by_seed_and_epoch(n, seed, epoch):
    order = permutation(n, seed, epoch)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(n))
    assert torch.equal(order, permutation(n, seed, epoch))


def test_orders_differ_and_depend_on_nothing_else():
    orders = {tuple(permutation(20, s, e).tolist()) for s in range(12) for e in range(12)}
    assert len(orders) == 144
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    permutation(50, 1, 2)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 0, 0), "n must"), ((3, -1, 0), "seed must"), ((3, 0, -1), "epoch must")],
)
def test_orders_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        permutation(*arguments)


def test_a_cache_of_others_passes_for_nothing(rng, tmp_path, loads):
    source, files = small_tiny_imagenet(rng)
    unpacked(source, files, tmp_path)
    loads(source, tmp_path, "tiny-imagenet")
    cache = tmp_path / "tiny-imagenet-200.safetensors"
    umask = os.umask(0)
    os.umask(umask)
    assert cache.stat().st_mode & 0o777 == 0o666 & ~umask  # colleagues may read it
    two = {f"x_{part}": torch.zeros(2, 3, 64, 64, dtype=torch.uint8) for part in ("train", "test")}
    two |= {f"y_{part}": torch.zeros(2, dtype=torch.int64) for part in ("train", "test")}
    for content, message in (
        (weights.to_bytes(two), "does not say so"),
        (weights.to_bytes(two, "another"), "was made of another"),
        (weights.to_bytes(two, source.archive.md5), "x_train must have shape"),
    ):
        cache.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{message}.*delete it"):
            loads(source, tmp_path, "tiny-imagenet")


def test_a_pipe_is_not_waited_for(rng, tmp_path, loads):
    source, files = small_tiny_imagenet(rng)
    unpacked(source, files, tmp_path)
    names = tmp_path / source.archive.root / "wnids.txt"
    names.unlink()
    os.mkfifo(names)
    with pytest.raises(ValueError, match="is not a regular file"):
        loads(source, tmp_path, "tiny-imagenet")


def test_whatever_a_decoder_raises_names_the_image(rng, tmp_path, loads, monkeypatch):
    source, files = small_tiny_imagenet(rng)
    unpacked(source, files, tmp_path)
    for error in (Image.DecompressionBombError, RecursionError, EOFError, MemoryError):
        with monkeypatch.context() as patch:

            def fail(*arguments, error=error, **settings):
                raise error("boom")

            patch.setattr(Image, "open", fail)
            with pytest.raises(ValueError, match=r"JPEG is damaged: boom"):
                loads(source, tmp_path, "tiny-imagenet")


def test_a_link_to_itself_in_an_archive_is_damage():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        link = tarfile.TarInfo("root/file")
        link.type, link.linkname = tarfile.SYMTYPE, "file"
        archive.addfile(link)
    content.seek(0)
    source = CIFAR10.archive
    with tarfile.open(fileobj=content) as archive:
        read = source._reader(Path("x"), lambda name: archives._member(archive, f"root/{name}"))
        with pytest.raises(ValueError, match=r"file in x cannot be read|has no file"):
            read("file")
