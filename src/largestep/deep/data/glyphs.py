"""Glyphs: letters and signs in the fonts that Matplotlib ships, as many and as hard as asked.

Nothing is fetched. A glyph is drawn once for each font, in a large cell; an image is then computed
pixel by pixel: where the pixel lies in the cells of its letter and of its distractors, averaged
over a grid of points in it. The images are a function of the settings and of what draws them, and
that is recorded with them.
"""

import hashlib
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numba
import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from largestep import _checks, _files
from largestep.deep.data.dataset import digest_of
from largestep.deep.data.named import Named

__all__ = ["CHARACTERS", "FONTS", "Glyphs", "cells"]

CHARACTERS = "23457ABEFGHJKMRTUXY80169CDLNPQSVWZabdefghmnqrty&%#?+=@;/(![*"
"""The classes in order: the first do not look alike, later ones do more and more."""

FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10"),
)
"""The fonts that have all the characters, of those that Matplotlib ships."""

_CELL, _LETTER = 64, 56
"""Side of a cell, and the longer side of the glyph in it, in pixels."""
_POINTS = 64
"""Points along the side of an image at which it is computed, or two in a pixel, if that is more."""
_ROTATION, _SHEAR, _SHRINKAGE, _SHIFT = np.deg2rad(30.0), 0.5, 0.5, 0.25
"""What distortion 1 stands for; shifts are shares of the image, shrinkage of a letter's size."""
_LARGEST, _CONTRAST = 0.9, (0.4, 1.0)
_DISTRACTOR = (0.25, 0.4)
"""Sizes as shares of the image, contrasts as shares of the range from black to white."""
_PARTS = ("x_train", "y_train", "x_test", "y_test")
_Parts = tuple[Tensor, Tensor, Tensor, Tensor]
_PURPOSES = ("glyphs", "distractors", "ink", "noise", "labels", "fonts")


@dataclass(frozen=True)
class Glyphs(Named):
    """What decides a set of glyphs, and its name.

    Every image shows one letter, whose character is the label, upon smaller ones, distractors. All
    classes are equally frequent. Ink and paper are random shades.

    Parameters
    ----------
    images, test_images : how many, for training and for testing.
    classes : the first so many of `CHARACTERS`, 10 to 60.
    size : side of the images in pixels, 16 to 32.
    channels : 1 for grey, 3 for colours: each channel has shades of its own.
    distortion : 0 to 1. Rotations of up to 30°, shears of up to 0.5, letters smaller by up to a
        half, and shifts of up to a quarter of the image, all times this.
    distractors : letters of any class, a quarter to two fifths of the image high, beneath the
        letter; 0 to 4.
    noise : standard deviation of the Gaussian noise on every pixel, as a share of the range from
        black to white; 0 to 1.
    lighter_ink : share of the letters that are lighter than the paper; in every channel, if there
        are three. At 0.5 a letter and its negative are equally likely, so that no linear model can
        tell one from another.
    wrong_labels : share of the training images that have the label of another class; 0 to 0.9.
    held_out_fonts : share of the fonts that only the test images use, which then use no others; 0
        to 0.9.
    seed : of everything random.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range.

    Examples
    --------
    >>> Glyphs(classes=36, noise=0.1).name
    'glyphs:classes=36,noise=0.1'
    >>> Glyphs.named("glyphs:classes=36,noise=0.1") == Glyphs(classes=36, noise=0.1)
    True
    """

    kind: ClassVar = "glyphs"

    images: int = 1500
    test_images: int = 1000
    classes: int = 20
    size: int = 16
    channels: int = 1
    distortion: float = 0.5
    distractors: int = 2
    noise: float = 0.2
    lighter_ink: float = 0.5
    wrong_labels: float = 0.0
    held_out_fonts: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        most = {"classes": len(CHARACTERS), "size": 32, "channels": 3, "distractors": 4}
        least = {"classes": 10, "size": 16, "distractors": 0, "seed": 0}
        for name in ("images", "test_images", "classes", "size", "channels", "distractors", "seed"):
            value = _checks.integer(name, getattr(self, name), at_least=least.get(name, 1))
            if value > most.get(name, value):
                raise ValueError(f"{name} must be at most {most[name]}, got {value}")
        if self.channels == 2:
            raise ValueError("channels must be 1, for grey, or 3, for colours, got 2")
        for name, at_most in (
            ("distortion", 1.0),
            ("noise", 1.0),
            ("lighter_ink", 1.0),
            ("wrong_labels", 0.9),
            ("held_out_fonts", 0.9),
        ):
            share = _checks.number(name, getattr(self, name), at_least=0.0, at_most=at_most)
            object.__setattr__(self, name, share)

    @property
    def folder(self) -> Path:
        """Where images are kept if no folder is named: the user's folder of caches."""
        import pooch

        return Path(pooch.os_cache("largestep"))

    def read(self, folder: Path, *, download: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return images and labels for training, then for testing.

        They are read from the folder if it has them as they would be made now, and otherwise made
        and kept there: a few kilobytes for each image.

        Parameters
        ----------
        folder : holds what was made before.
        download : nothing is ever fetched.

        Raises
        ------
        FileNotFoundError
            If Matplotlib lacks one of the fonts.
        """
        recipe = self._recipe()
        key = hashlib.sha256(recipe.encode()).hexdigest()[:16]
        cache = folder / f"glyphs-{key}.safetensors"
        parts = _kept(cache, recipe)
        if parts is None:
            parts = self._made()
            _keep(cache, recipe, parts)
        return parts

    def _recipe(self) -> str:
        """Return all that decides the images, as JSON: settings, fonts, versions, this file."""
        from importlib.metadata import version

        from PIL import features

        fonts = hashlib.sha256()
        for file in _files_of_fonts():
            fonts.update(file.read_bytes())
        return json.dumps(
            {
                "settings": vars(self),
                "fonts": fonts.hexdigest(),
                "code": _files.digest(Path(__file__)),
                **{name: version(name) for name in ("matplotlib", "numba", "numpy", "pillow")},
                "freetype": features.version("freetype2"),
            }
        )

    def _made(self) -> _Parts:
        shuffled = self._stream("fonts").permutation(len(FONTS))
        kept_back = round(self.held_out_fonts * len(FONTS))
        drawn = cells(CHARACTERS[: self.classes])
        train, test = (
            (shuffled[kept_back:], shuffled[:kept_back]) if kept_back else (shuffled, shuffled)
        )
        x, y = self._part(0, self.images, drawn[train])
        x_test, y_test = self._part(1, self.test_images, drawn[test])
        rng = self._stream("labels")
        wrong = rng.permutation(len(y))[: round(self.wrong_labels * len(y))]
        y[wrong] = (y[wrong] + rng.integers(1, self.classes, len(wrong))) % self.classes
        return (
            torch.from_numpy(x),
            torch.from_numpy(y),
            torch.from_numpy(x_test),
            torch.from_numpy(y_test),
        )

    def _part(
        self, part: int, n: int, drawn: np.ndarray
    ) -> tuple[UInt8[np.ndarray, "n channels size size"], Int64[np.ndarray, " n"]]:
        """Return so many images and their labels."""
        rng = self._stream("glyphs", part)
        labels = rng.permutation(n) % self.classes
        shown = 1 + self.distractors
        # Drawn in order: the letter is the last.
        characters = np.empty((n, shown), dtype=np.int64)
        maps = np.empty((n, shown, 6), dtype=np.float32)
        characters[:, -1] = labels
        fonts = np.empty((n, shown), dtype=np.int64)
        fonts[:, -1] = rng.integers(len(drawn), size=n)
        heights = _LARGEST * (1 - _SHRINKAGE * self.distortion * rng.random(n))
        maps[:, -1] = self._maps(rng, heights, _SHIFT * self.distortion)
        rng = self._stream("distractors", part)
        for number in range(self.distractors):
            characters[:, number] = rng.integers(self.classes, size=n)
            fonts[:, number] = rng.integers(len(drawn), size=n)
            maps[:, number] = self._maps(rng, rng.uniform(*_DISTRACTOR, n), 0.5)
        paper, inks = self._shades(part, n, shown)
        images = np.empty((n, self.channels, self.size, self.size), dtype=np.float32)
        points = max(_POINTS // self.size, 2)
        _draw(drawn, fonts, characters, maps, paper, inks, points, images)
        if self.noise:
            noise = self._stream("noise", part).standard_normal(images.shape, dtype=np.float32)
            images += np.float32(self.noise) * noise
        bytes_ = np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)
        return bytes_, labels

    def _maps(
        self, rng: np.random.Generator, heights: np.ndarray, reach: float
    ) -> Float32[np.ndarray, "n 6"]:
        """Return for each image what takes a point of it, in [−½, ½]², to one of a cell."""
        n = len(heights)
        angle, shear = (
            self.distortion * most * rng.uniform(-1, 1, n) for most in (_ROTATION, _SHEAR)
        )
        centre = reach * rng.uniform(-1, 1, (2, n))
        # Forward: a letter is sheared, then rotated, then scaled; here the inverse of that.
        scale = _LETTER / (heights * _CELL)
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        # Row by row: x' = a x + b y + c, with x to the right and y downwards.
        a, b = cosine + shear * sine, sine - shear * cosine
        d, e = -sine, cosine
        c, f = -(a * centre[0] + b * centre[1]), -(d * centre[0] + e * centre[1])
        return np.stack([a, b, c, d, e, f], axis=1).astype(np.float32)

    def _shades(self, part: int, n: int, shown: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the shade of the paper, and of each letter's ink, in [0, 1]."""
        rng = self._stream("ink", part)
        paper = rng.random((n, self.channels), dtype=np.float32)
        contrast = rng.uniform(*_CONTRAST, (n, shown, self.channels)).astype(np.float32)
        darker = rng.random((n, shown, self.channels)) < 1 - self.lighter_ink
        # The paper that leaves room for the letter's contrast; a distractor's is cut off instead.
        room, sign = 1 - contrast[:, -1], darker[:, -1]
        paper = np.where(sign, contrast[:, -1] + room * paper, room * paper)
        inks = paper[:, None] + np.where(darker, -contrast, contrast)
        return paper, np.clip(inks, 0, 1).astype(np.float32)

    def _stream(self, purpose: str, part: int = 0) -> np.random.Generator:
        """Return the generator for one purpose: other settings leave its draws as they are."""
        key = (_PURPOSES.index(purpose), part)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def cells(characters: str) -> UInt8[np.ndarray, "fonts characters 64 64"]:
    """Return every character in every font of `FONTS`, its ink as bytes, its longer side 56 pixels.

    Raises
    ------
    FileNotFoundError
        If Matplotlib lacks one of its fonts.
    """
    from PIL import Image, ImageDraw, ImageFont

    drawn = np.zeros((len(FONTS), len(characters), _CELL, _CELL), dtype=np.uint8)
    for number, file in enumerate(_files_of_fonts()):
        # Four times as large as the cell, so that it is smooth after it was made smaller.
        font = ImageFont.truetype(str(file), 4 * _LETTER, layout_engine=ImageFont.Layout.BASIC)
        for index, character in enumerate(characters):
            left, top, right, bottom = font.getbbox(character)
            glyph = Image.new("L", (int(right - left), int(bottom - top)))
            ImageDraw.Draw(glyph).text((-left, -top), character, fill=255, font=font)
            glyph = glyph.crop(glyph.getbbox())
            scale = _LETTER / max(glyph.size)
            width, height = (max(round(scale * side), 1) for side in glyph.size)
            glyph = glyph.resize((width, height), Image.Resampling.BOX)
            x, y = (_CELL - width) // 2, (_CELL - height) // 2
            drawn[number, index, y : y + height, x : x + width] = np.asarray(glyph)
    return drawn


@numba.njit(cache=True)
def _draw(
    drawn: np.ndarray,
    fonts: np.ndarray,
    characters: np.ndarray,
    maps: np.ndarray,
    paper: np.ndarray,
    inks: np.ndarray,
    points: int,
    images: np.ndarray,
) -> None:
    """Fill (n, channels, size, size) images: paper, then letter upon letter."""
    n, channels, size, _ = images.shape
    cell = drawn.shape[2]
    half, step = np.float32(0.5), np.float32(1.0 / (size * points))
    share = np.float32(1.0 / (255 * points * points))
    for i in range(n):
        for channel in range(channels):
            images[i, channel] = paper[i, channel]
        for layer in range(fonts.shape[1]):
            glyph = drawn[fonts[i, layer], characters[i, layer]]
            a, b, c, d, e, f = maps[i, layer]
            for row in range(size):
                for column in range(size):
                    covered = np.float32(0.0)
                    for p in range(points):
                        y = (row * points + p + half) * step - half
                        for q in range(points):
                            x = (column * points + q + half) * step - half
                            # The place among the centres of the cell's pixels.
                            u = (a * x + b * y + c + half) * cell - half
                            v = (d * x + e * y + f + half) * cell - half
                            left, top = int(np.floor(u)), int(np.floor(v))
                            if 0 <= left < cell - 1 and 0 <= top < cell - 1:
                                r, s = u - left, v - top
                                upper = glyph[top, left] * (1 - r) + glyph[top, left + 1] * r
                                lower = (
                                    glyph[top + 1, left] * (1 - r) + glyph[top + 1, left + 1] * r
                                )
                                covered += upper * (1 - s) + lower * s
                    covered *= share
                    for channel in range(channels):
                        pixel = images[i, channel, row, column]
                        images[i, channel, row, column] += covered * (
                            inks[i, layer, channel] - pixel
                        )


def _kept(cache: Path, recipe: str) -> _Parts | None:
    """Return the images that a file holds, if they are whole and made by this recipe."""
    from safetensors import SafetensorError, safe_open

    if not cache.is_file():
        return None
    try:
        with safe_open(cache, framework="pt") as file:
            described = file.metadata() or {}
            x, y, x_test, y_test = map(file.get_tensor, _PARTS)
    except (OSError, SafetensorError) as error:
        reason = f"is damaged ({error})"
    else:
        if described.get("recipe") != recipe:
            reason = "was made with other settings, fonts or versions"
        elif described.get("digest") != digest_of((x, y, x_test, y_test)):
            reason = "is damaged (its digest is another)"
        else:
            return x, y, x_test, y_test
    print(f"{cache} {reason}; making it again", file=sys.stderr)
    return None


def _keep(cache: Path, recipe: str, parts: _Parts) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    described = {"recipe": recipe, "digest": digest_of(parts)}
    tensors = dict(zip(_PARTS, parts, strict=True))
    try:
        _files.prepare_folder(cache.parent)
        _files.atomically(cache, lambda path: save_file(tensors, path, metadata=described))
    except (OSError, SafetensorError) as error:
        warnings.warn(f"the glyphs could not be kept in {cache}: {error}", stacklevel=2)


def _files_of_fonts() -> list[Path]:
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    files = [folder / f"{name}.ttf" for name in FONTS]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"glyphs are drawn with fonts that Matplotlib ships, and {folder} lacks "
            f"{', '.join(missing)}: install Matplotlib as published "
            "(pip install --force-reinstall matplotlib), with its fonts"
        )
    return files
