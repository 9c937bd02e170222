import json
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largestep.deep import data
from largestep.deep.data import Glyphs, glyphs
from largestep.deep.data.glyphs import CHARACTERS, FONTS, cells
from largestep.deep.loading import load_data
from largestep.figures.glyphs import draw_contact_sheet

FEW = Glyphs(images=40, test_images=20)
PLAIN = replace(FEW, distortion=0.0, distractors=0, noise=0.0)


def made(**changes):
    """Return images and labels for training, as arrays."""
    x, y, _, _ = replace(FEW, **changes)._made()
    return x.numpy(), y.numpy()


# ---- what is drawn ---------------------------------------------------------------------------


def test_every_font_has_every_character_and_they_differ():
    drawn = cells(CHARACTERS)
    assert drawn.shape == (len(FONTS), 60, 64, 64)
    assert len(set(CHARACTERS)) == 60
    sides = []
    for inked in (drawn.any(3), drawn.any(2)):
        first, last = inked.argmax(2), 63 - inked[..., ::-1].argmax(2)
        assert (abs(63 - first - last) <= 1).all()  # centred
        sides.append(last + 1 - first)
    assert (np.maximum(*sides) == 56).all()
    # A character that a font lacks would look like all others it lacks.
    for font in drawn.reshape(len(FONTS), 60, -1):
        assert len(np.unique(font, axis=0)) == 60


def test_without_difficulty_an_image_is_its_cell_made_smaller():
    x, y = made(distortion=0.0, distractors=0, noise=0.0)
    drawn = cells(CHARACTERS[:20]).astype(float) / 255
    for image, label in zip(x[:10, 0].astype(float), y[:10], strict=True):
        paper, ink = image[0, 0], image.ravel()[np.abs(image - image[0, 0]).argmax()]
        covered = (image - paper) / (ink - paper)
        # The letter of some font, centred, its longer side 0.9 of the image's.
        errors = [np.abs(covered - _shrunk(font[label])).mean() for font in drawn]
        assert min(errors) < 0.06
        others = [np.abs(covered - _shrunk(c)).mean() for c in drawn[np.argmin(errors)]]
        assert np.argmin(others) == label


def _shrunk(cell):
    """Average a cell over the 16 × 16 pixels of an image in which its letter is 0.9 high."""
    points = ((np.arange(16 * 8) + 0.5) / (16 * 8) - 0.5) * 56 / 0.9 + 31.5
    nearest = np.clip(np.rint(points), 0, 63).astype(int)
    return cell[np.ix_(nearest, nearest)].reshape(16, 8, 16, 8).mean((1, 3))


@pytest.mark.parametrize(("channels", "size"), [(1, 16), (3, 16), (1, 24), (3, 32)])
def test_any_size_and_colour(channels, size):
    x, y = made(channels=channels, size=size, classes=60, images=120)
    assert x.shape == (120, channels, size, size)
    assert x.dtype == np.uint8
    assert np.bincount(y).tolist() == [2] * 60


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
def test_ink_is_lighter_as_often_as_asked(share):
    x, _ = made(images=2000, distractors=0, noise=0.0, distortion=0.0, lighter_ink=share)
    centre = x[:, 0, 4:12, 4:12].astype(float).mean((1, 2))
    lighter = (centre > x[:, 0, 0, 0]).mean()
    assert abs(lighter - share) < 0.05


def test_difficulty_is_what_it_says():
    clear, _ = made(noise=0.0)
    noisy, _ = made(noise=0.1)
    inside = (clear > 90) & (clear < 165)
    difference = (noisy.astype(float) - clear)[inside] / 255
    assert abs(difference.std() - 0.1) < 0.01
    assert abs(difference.mean()) < 0.01
    crowded, _ = made(noise=0.0, distractors=4)
    alone, _ = made(noise=0.0, distractors=0)
    assert (crowded != alone).any((1, 2, 3)).all()
    moved, _ = made(noise=0.0, distractors=0, distortion=1.0)
    assert (moved != alone).any((1, 2, 3)).all()


def test_as_many_labels_are_wrong_as_asked_and_nothing_else_changes():
    x, y = made(images=1000)
    noisy, wrong = made(images=1000, wrong_labels=0.2)
    assert (x == noisy).all()
    assert (y != wrong).sum() == 200
    _, _, _, test = replace(FEW, wrong_labels=0.2)._made()
    assert torch.equal(test, FEW._made()[3])


def test_fonts_are_held_out(monkeypatch):
    used = []
    draw = glyphs._draw
    monkeypatch.setattr(
        glyphs, "_draw", lambda drawn, *rest: (used.append(drawn.copy()), draw(drawn, *rest))
    )
    replace(FEW, held_out_fonts=0.25)._made()
    train, test = used
    assert (len(train), len(test)) == (16, 5)
    fonts = [font.tobytes() for font in (*train, *test)]
    assert len(set(fonts)) == 21
    used.clear()
    FEW._made()
    assert [len(drawn) for drawn in used] == [21, 21]


def test_a_seed_fixes_every_bit_and_another_gives_others():
    first, again, other = FEW._made(), FEW._made(), replace(FEW, seed=1)._made()
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0][:20], first[2])


# ---- names and settings ----------------------------------------------------------------------


@given(
    st.integers(10, 60),
    st.integers(16, 32),
    st.sampled_from([1, 3]),
    st.floats(0, 1),
    st.floats(0, 0.9),
    st.integers(0, 2**40),
)
@settings(max_examples=30, deadline=None)
def test_a_name_brings_back_its_settings(classes, size, channels, noise, wrong_labels, seed):
    chosen = Glyphs(
        classes=classes,
        size=size,
        channels=channels,
        noise=noise,
        wrong_labels=wrong_labels,
        seed=seed,
    )
    assert Glyphs.named(chosen.name) == chosen
    assert Glyphs.named(chosen.name).name == chosen.name


def test_settings_in_the_name_and_beside_it(tmp_path):
    loaded = data.load("glyphs:images=30,test_images=20", tmp_path, classes=12)
    assert loaded.name == "glyphs:images=30,test_images=20,classes=12"
    assert loaded.classes == 12
    assert data.load(loaded.name, tmp_path).digest() == loaded.digest()
    # All of them are in order; fewer are some of them.
    assert data.load(loaded.name, tmp_path, train=30).digest() == loaded.digest()
    assert len(data.load(loaded.name, tmp_path, train=10).x_train) == 10


@pytest.mark.parametrize(
    ("name", "given", "error", "message"),
    [
        ("glyphs:classes=9", {}, ValueError, "classes must be at least 10, got 9"),
        ("glyphs", {"classes": 61}, ValueError, "classes must be at most 60, got 61"),
        ("glyphs", {"classes": 20.5}, TypeError, "classes must be an integer"),
        ("glyphs:classes=many", {}, ValueError, "classes must be an integer, got 'many'"),
        ("glyphs:classes=", {}, ValueError, "classes must be an integer, got ''"),
        ("glyphs:size=15", {}, ValueError, "size must be at least 16"),
        ("glyphs:size=33", {}, ValueError, "size must be at most 32"),
        ("glyphs:channels=2", {}, ValueError, "channels must be 1, for grey, or 3"),
        ("glyphs:channels=4", {}, ValueError, "channels must be at most 3"),
        ("glyphs:images=0", {}, ValueError, "images must be at least 1"),
        ("glyphs:test_images=0", {}, ValueError, "test_images must be at least 1"),
        ("glyphs:distractors=5", {}, ValueError, "distractors must be at most 4"),
        ("glyphs:distortion=1.1", {}, ValueError, "distortion must be .*at most 1, got 1.1"),
        ("glyphs:noise=-0.1", {}, ValueError, "noise must be at least 0"),
        ("glyphs:noise=nan", {}, ValueError, "noise must be finite"),
        ("glyphs:wrong_labels=0.95", {}, ValueError, "wrong_labels must be .*at most 0.9"),
        ("glyphs:held_out_fonts=1", {}, ValueError, "held_out_fonts must be .*at most 0.9"),
        ("glyphs:seed=-1", {}, ValueError, "seed must be at least 0"),
        ("glyphs:size", {}, ValueError, "size must be an integer, got ''"),
        ("glyphs:colour=3", {}, ValueError, "the settings of glyphs are images, .*, got 'colour'"),
        ("glyphs:size=20", {"size": 20}, ValueError, "size must be given once"),
        ("digits:size=20", {}, ValueError, "digits has no settings"),
        ("digits", {"size": 20}, ValueError, "digits has no settings"),
        ("glyph", {}, ValueError, "no data set is called 'glyph'"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, name, given, error, message):
    with pytest.raises(error, match=message):
        data.load(name, tmp_path, **given)
    assert not list(tmp_path.iterdir())


# ---- fonts, the cache and runs ---------------------------------------------------------------


def test_a_matplotlib_without_its_fonts(tmp_path, monkeypatch):
    (tmp_path / "fonts" / "ttf").mkdir(parents=True)
    (tmp_path / "fonts" / "ttf" / "DejaVuSans.ttf").touch()
    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"lacks DejaVuSans-Bold.ttf, .*with its fonts"):
        data.load("glyphs", tmp_path)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Load a few into a folder; give the data set, the file and how often they were made."""
    loaded = data.load(FEW.name, tmp_path)
    (file,) = tmp_path.iterdir()
    times = []
    make = Glyphs._made
    monkeypatch.setattr(Glyphs, "_made", lambda self: (times.append(1), make(self))[1])
    return loaded, file, times


def test_they_are_made_once(cached, capsys):
    loaded, file, times = cached
    assert data.load(FEW.name, file.parent).digest() == loaded.digest()
    assert times == []
    assert capsys.readouterr().err == ""
    data.load(FEW.name, file.parent, seed=1)
    assert times == [1]
    assert len(list(file.parent.iterdir())) == 2


def damaged(content):
    changed = bytearray(content)
    changed[-1] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damaged, "is damaged (its digest is another)"),
        (lambda content: content[:-5], "is damaged ("),
        (lambda content: b"", "is damaged ("),
        (lambda content: content.replace(b"matplotlib", b"matplotlab"), "other settings, fonts or"),
    ],
)
def test_a_cache_that_is_damaged_or_from_elsewhere_is_made_again(cached, capsys, change, said):
    loaded, file, times = cached
    whole = file.read_bytes()
    file.write_bytes(change(whole))
    assert data.load(FEW.name, file.parent).digest() == loaded.digest()
    assert times == [1]
    message = capsys.readouterr().err
    assert str(file) in message
    assert said in message
    assert message.count("\n") == 1
    assert data.load(FEW.name, file.parent).digest() == loaded.digest()
    assert times == [1]


@pytest.mark.parametrize("package", ["matplotlib", "pillow", "numba", "numpy"])
def test_other_versions_have_a_cache_of_their_own(cached, monkeypatch, package):
    _, file, times = cached
    from importlib import metadata

    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: "0.1" if n == package else version(n))
    data.load(FEW.name, file.parent)
    assert times == [1]
    assert len(list(file.parent.iterdir())) == 2


def test_what_cannot_be_kept_is_used_all_the_same(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="could not be kept"):
        assert len(data.load(FEW.name, tmp_path / "file").x_train) == 40


def test_without_a_folder_the_users_caches_are_used(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda name: str(tmp_path / name))
    data.load(FEW.name)
    assert len(list((tmp_path / "largestep").iterdir())) == 1


def test_a_runs_configuration_brings_back_exactly_its_data(tmp_path):
    loaded = data.load(FEW.name, tmp_path)
    described = {
        "name": loaded.name,
        "training examples": 40,
        "channels": 1,
        "classes": 20,
        "digest": loaded.digest(),
    }
    config = {"configuration": {"settings": {"model": "", "model_settings": {}}, "data": described}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (x, y), (x_test, y_test) = load_data(None, tmp_path, str(tmp_path))
    assert torch.equal(x, loaded.normalise(loaded.x_train))
    assert torch.equal(y, loaded.y_train)
    assert torch.equal(x_test, loaded.normalise(loaded.x_test))
    assert torch.equal(y_test, loaded.y_test)
    described["digest"] = "0" * 32
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"is not what .* was trained on: its digest is"):
        load_data(None, tmp_path, str(tmp_path))


# ---- the contact sheet -----------------------------------------------------------------------


def test_a_contact_sheet_has_a_row_for_each_class():
    x, y = made(channels=3, images=30)
    (ax,) = draw_contact_sheet(x, y, CHARACTERS, each=4).axes
    assert [text.get_text() for text in ax.get_yticklabels()] == list(CHARACTERS[:20])
    sheet = ax.images[0].get_array()
    assert sheet.shape == (20 * 17, 4 * 17, 3)
    assert (sheet[:16, :16] == x[y == 0][0].transpose(1, 2, 0)).all()
    # One class has a single image: its other places stay white.
    assert (sheet[-17:, 17:] == 255).all()
    with pytest.raises(ValueError, match="images must have shape"):
        draw_contact_sheet(x[:, :2], y)
