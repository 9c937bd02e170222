import math
import re

import numpy as np
import pytest
import torch

from largestep.deep import data
from largestep.deep.data import Sequences, Text
from largestep.deep.data.text import CHARACTERS, landmarks

SMALL = {"characters": 40_000, "test_characters": 10_000}


def written(**settings):
    return ["".join(CHARACTERS[i] for i in part) for part in Text(**settings).tokens()]


@pytest.fixture(scope="module")
def text():
    return written(**SMALL)[0]


def test_it_is_the_same_everywhere():
    # On any machine, with any version of Python or NumPy: others' losses are to be compared.
    assert data.load("text").digest() == "6045f26f849e5d9022a4ee74dd8e7f27"


def test_sequences_follow_one_another_and_labels_are_what_comes_next():
    loaded = data.load("text:context=32", **SMALL)
    whole = Text(context=32, **SMALL).tokens()[0]
    assert isinstance(loaded, Sequences)
    assert loaded.name == "text:characters=40000,test_characters=10000,context=32"
    assert loaded.size == {"context": 32}
    assert tuple(loaded.x_train.shape) == (39_999 // 32, 32)
    n = loaded.x_train.numel()
    assert torch.equal(loaded.x_train.flatten(), whole[:n])
    assert torch.equal(loaded.y_train.flatten(), whole[1 : n + 1])
    some = data.load("text", context=32, train=100, **SMALL)
    assert tuple(some.x_train.shape) == tuple(some.y_train.shape) == (100, 32)
    assert torch.equal(some.x_train[:, 1:], some.y_train[:, :-1])


def test_sums_are_right_and_quotations_close_with_their_number(text):
    sums = re.findall(r"(\d+)\+(\d+)=(\d+)\.", text)
    assert len(sums) > 50
    assert all(int(a) + int(b) == int(c) for a, b, c in sums)
    opened = []
    for before, number, after in re.findall(r"(\[)?(\d\d)(\])?", text):
        if before:
            opened.append(number)
        elif after:
            assert number == opened.pop()
    assert len(opened) <= 4


def test_verbs_agree_with_their_subject_across_clauses(text):
    simple = re.findall(r"(?<=[.\]] )(?:the|a|all) (\w+) (\w+e[tn]|is|are)\b", text)
    across = re.findall(r"(?<=[.\]] )the (\w+) who \w+e[tn] (?:the|a|all) \w+ (\w+e[tn])\b", text)
    assert len(simple) > 100
    assert len(across) > 5
    for noun, verb in simple + across:
        assert noun.endswith("s") == (verb == "are" or verb.endswith("en"))
    agreeing = re.findall(r"(?<=[.\]] )(?:the|a|all) \w+([ao])s? (?:is|are) \w+(\w)[.,]", text)
    assert len(agreeing) > 20
    assert all(noun == adjective for noun, adjective in agreeing)


def test_no_stem_comes_twice():
    from largestep.deep.data.text import _lexicon

    lexicon = _lexicon(0)
    ended = {"noun", "name"}
    stems = [w[:-1] if kind in ended else w for kind, words in lexicon.items() for w in words]
    assert len(set(stems)) == len(stems) == 530


def test_entropy_lies_below_what_n_grams_reach_and_is_an_average():
    chosen = Text(characters=200_000, test_characters=20_000)
    losses = landmarks(*chosen.tokens(), len(CHARACTERS), range(1, 6))
    assert math.log(len(CHARACTERS)) > losses[1] > losses[2] > losses[5] > chosen.entropy()
    assert chosen.entropy() == pytest.approx(0.612, rel=0.02)  # of half a million characters


def test_landmarks_by_hand():
    train, test = torch.tensor([0, 0, 1, 0]), torch.tensor([0, 1])
    # Unigrams: (3 + 2/2)/(4 + 2) and (1 + 1)/6. Bigrams: before the text lies a 0; after 0 come
    # 0, 0 and 1 in training.
    one = [4 / 6, 2 / 6]
    two = [(2 + 2 * one[0]) / (3 + 2), (1 + 2 * one[1]) / (3 + 2)]
    found = landmarks(train, test, 2, (1, 2))
    assert found[1] == pytest.approx(-np.log(one).mean())
    assert found[2] == pytest.approx(-np.log(two).mean())


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("text:context=0", {}, ValueError, "context must be at least 1, got 0"),
        ("text", {"characters": 64}, ValueError, "characters must be at least 65, got 64"),
        ("text:words=3", {}, ValueError, "the settings of text are characters, .* got 'words'"),
        ("text", {"seed": 0.5}, TypeError, "seed must be an integer, got 0.5"),
        ("text", {"train": 10**6}, ValueError, "train must be at most 8191 for text"),
    ],
)
def test_settings_out_of_range_are_refused(name, settings, error, message):
    with pytest.raises(error, match=message):
        data.load(name, **settings)


@pytest.mark.parametrize(
    ("train", "test", "error", "message"),
    [
        (torch.zeros(9), torch.zeros(9, dtype=torch.int64), TypeError, "train must be int64"),
        (torch.arange(9), torch.arange(4), ValueError, "test must be one row of more than 4"),
        (torch.arange(9), torch.arange(1, 11), ValueError, "test must lie in 0, …, 9"),
    ],
)
def test_sequences_of_ones_own_are_checked(train, test, error, message):
    with pytest.raises(error, match=message):
        Sequences.of("own", train, test, context=4, classes=10)
