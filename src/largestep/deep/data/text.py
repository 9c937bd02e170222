"""Text from a stated grammar: as much as asked, the same on every machine, its entropy known.

Nothing is fetched. The words are made up, so that spelling has to be learnt; how often they come
follows Zipf's law. Sentences have what makes a language hard for what only counts neighbours: verbs
agree in number with a subject that clauses may lie between, adjectives end as their noun's class
has it, quotations nest in brackets that close with the number they open with, and sums are right.

All that is random comes from the raw 64-bit integers of PCG64, which NumPy keeps for ever, by
integer arithmetic, and none of it from distributions, which it does not.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from largestep import _checks
from largestep.deep.data.named import Named

__all__ = ["CHARACTERS", "Text", "landmarks"]

CHARACTERS = " .,:+=[]\n0123456789abdefghiklmnoprstuvwz"
"""The tokens in order."""

_CONSONANTS, _VOWELS = "bdfgklmnprtvz", "aeiou"
_LEXICON = {"noun": 240, "adjective": 80, "transitive": 90, "intransitive": 60, "name": 60}
"""Words of each kind."""
_CLASSES, _NUMBERS, _ENDINGS = ("a", "o"), ("", "s"), ("t", "n")
"""What nouns and their adjectives end with, what makes the plural, and what verbs end with."""
_DEEPEST = 4
_PURPOSES = ("lexicon", "train", "test")
_PRIOR = 2.0


@dataclass(frozen=True)
class Text(Named):
    """What decides a text, and its name.

    A sentence is a statement (7 in 10), a sum of two numbers below 100 (1 in 10), or a quotation:
    a name, a bracket with a number, sentences, and the same number with the bracket that closes. A
    statement is one clause or two. A clause's subject is a name or a noun, singular or plural,
    which may have an adjective and a clause of its own, ``who`` or ``whom``; its verb takes an
    object, or none, or is ``is`` or ``are`` with an adjective. What nests does so half as often at
    each level. The lexicon is the same for training and testing; the seed makes another.

    Parameters
    ----------
    characters, test_characters : how many, for training and for testing.
    context : characters in a sequence.
    seed : of everything random.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range.

    Examples
    --------
    >>> Text(context=32).name
    'text:context=32'
    """

    kind: ClassVar = "text"

    characters: int = 2**19
    test_characters: int = 2**15
    context: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name, at_least in (
            ("context", 1),
            ("characters", self.context + 1),
            ("test_characters", self.context + 1),
            ("seed", 0),
        ):
            _checks.integer(name, getattr(self, name), at_least=at_least)

    def tokens(self) -> tuple[Int64[Tensor, " characters"], Int64[Tensor, " test_characters"]]:
        """Return the text to train on and the one to test on, as indices of `CHARACTERS`."""
        train = self._written("train", self.characters)[0]
        return _indices(train), _indices(self._written("test", self.test_characters)[0])

    def entropy(self) -> float:
        """Return the entropy rate, in nats a character, as estimated on the text to train on.

        That is the information of the choices made in writing it, by its length. No two ways
        through the grammar write the same text, so it is the text's own: the loss of whoever knows
        the grammar and all that came before. Within a sequence, whose beginning is not seen, nobody
        gets quite so low.
        """
        text, nats = self._written("train", self.characters)
        return nats / len(text)

    def _written(self, purpose: str, characters: int) -> tuple[str, float]:
        """Return a text of so many characters, and the nats of the choices made in it."""
        writer = _Writer(_lexicon(self.seed), _Choices(self.seed, purpose))
        parts: list[str] = []
        length = 0
        while length < characters:
            parts.append(writer.sentence(0) + ("\n" if writer.chance(125) else " "))
            length += len(parts[-1])
        # What is cut off the last sentence had its share of the choices.
        return "".join(parts)[:characters], writer.choices.nats * characters / length


class _Choices:
    """Draws by integer arithmetic, and adds up their information."""

    def __init__(self, seed: int, purpose: str) -> None:
        sequence = np.random.SeedSequence(seed, spawn_key=(_PURPOSES.index(purpose),))
        self._bits = np.random.PCG64(sequence)
        self._drawn: list[int] = []
        self.nats = 0.0

    def below(self, total: int) -> int:
        """Return one of 0, …, total − 1, all equally likely."""
        if not self._drawn:
            self._drawn = self._bits.random_raw(4096).tolist()
        self.nats += math.log(total)
        return ((self._drawn.pop() >> 32) * total) >> 32

    def one_of(self, cumulated: Sequence[int]) -> int:
        """Return an index, given the cumulated weights."""
        found = bisect_right(cumulated, self.below(cumulated[-1]))
        self.nats -= math.log(cumulated[found] - (cumulated[found - 1] if found else 0))
        return found


def _lexicon(seed: int) -> dict[str, list[str]]:
    """Return the words of each kind, the most frequent first: no stem comes twice."""
    choices = _Choices(seed, "lexicon")
    taken: set[str] = set()

    def stem() -> str:
        while True:
            syllables = 1 + choices.one_of((2, 5, 6))
            kinds = (*(_CONSONANTS, _VOWELS) * syllables, _CONSONANTS)
            word = "".join(kind[choices.below(len(kind))] for kind in kinds)
            if word not in taken:
                taken.add(word)
                return word

    ended = ("noun", "name")
    return {
        kind: [stem() + (_CLASSES[choices.below(2)] if kind in ended else "") for _ in range(count)]
        for kind, count in _LEXICON.items()
    }


class _Writer:
    """Writes sentences, deeper ones with fewer in them."""

    def __init__(self, lexicon: dict[str, list[str]], choices: _Choices) -> None:
        self.choices = choices
        self._lexicon = lexicon
        self._zipf = {
            kind: list(accumulate(2**20 // rank for rank in range(1, len(words) + 1)))
            for kind, words in lexicon.items()
        }

    def chance(self, thousandths: int) -> bool:
        """Return True so many times in a thousand."""
        return self.choices.one_of((thousandths, 1000)) == 0

    def sentence(self, depth: int) -> str:
        """Return a statement, a sum or a quotation."""
        quotation = 200 >> depth
        kind = self.choices.one_of((quotation, quotation + 100, 1000))
        if kind == 0:
            number, name = 10 + self.choices.below(90), self._word("name")
            inside = [self.sentence(depth + 1) for _ in range(1 + self.choices.one_of((5, 8, 10)))]
            return f"{name}: [{number} {' '.join(inside)} {number}]"
        if kind == 1:
            first, second = self.choices.below(100), self.choices.below(100)
            return f"{first}+{second}={first + second}."
        text = self._clause()
        if self.chance(250):
            text += (" and ", " but ", ", ")[self.choices.below(3)] + self._clause()
        return text + "."

    def _word(self, kind: str) -> str:
        return self._lexicon[kind][self.choices.one_of(self._zipf[kind])]

    def _clause(self) -> str:
        subject, number, ending = self._someone(0)
        return f"{subject} {self._does(number, ending, 0)}"

    def _someone(self, depth: int) -> tuple[str, int, str]:
        """Return a name or a noun with what goes with it, its number (1: plural) and its class."""
        if self.chance(200):
            name = self._word("name")
            return name, 0, name[-1]
        number, noun = int(self.chance(400)), self._word("noun")
        text = "the " if self.chance(667) else ("a ", "all ")[number]
        if self.chance(300):
            text += f"{self._word('adjective')}{noun[-1]} "
        text += noun + _NUMBERS[number]
        if depth < _DEEPEST and self.chance(300 >> depth):
            if self.chance(667):
                text += f" who {self._does(number, noun[-1], depth + 1)}"
            else:
                other, its_number, _ = self._someone(depth + 1)
                text += f" whom {other} {self._verb('transitive', its_number)}"
        return text, number, noun[-1]

    def _does(self, number: int, ending: str, depth: int) -> str:
        kind = self.choices.one_of((350, 800, 1000))
        if kind == 0:
            return self._verb("intransitive", number)
        if kind == 1:
            return f"{self._verb('transitive', number)} {self._someone(depth + 1)[0]}"
        return f"{('is', 'are')[number]} {self._word('adjective')}{ending}"

    def _verb(self, kind: str, number: int) -> str:
        return f"{self._word(kind)}e{_ENDINGS[number]}"


def landmarks(
    train: Int64[Tensor, " characters"],
    test: Int64[Tensor, " characters"],
    classes: int,
    orders: Iterable[int] = (1, 2, 5),
) -> dict[int, float]:
    """Return the loss, in nats a character, of n-grams counted on one text and tested on another.

    An n-gram's share is smoothed towards that of the (n − 1)-gram, which counts as much as two
    occurrences [1]_; the 1-gram's towards equal shares.

    Parameters
    ----------
    train, test : tokens from 0 to classes − 1.
    classes : number of tokens.
    orders : n, of each of which the loss is returned.

    References
    ----------
    .. [1] D. J. C. MacKay and L. C. Bauman Peto, "A hierarchical Dirichlet language model",
       Natural Language Engineering 1, 1995.
    """
    texts = [part.numpy() for part in (train, test)]
    losses: dict[int, float] = {}
    share = np.full(len(texts[1]), 1.0 / classes)
    for order in range(1, max(orders) + 1):
        before, here = (_grams(text, order - 1, classes) for text in texts)
        counted = [before * classes + texts[0], before]
        asked = [here * classes + texts[1], here]
        both, alone = (_counts(c, a) for c, a in zip(counted, asked, strict=True))
        share = (both + _PRIOR * share) / (alone + _PRIOR)
        losses[order] = float(-np.log(share).mean())
    return {order: losses[order] for order in orders}


def _grams(text: np.ndarray, length: int, classes: int) -> np.ndarray:
    """Return for each token a number for the so many before it; before the text lie zeros."""
    grams = np.zeros(len(text), dtype=np.int64)
    for back in range(length, 0, -1):
        grams *= classes
        grams[back:] += text[:-back]
    return grams


def _counts(counted: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return how often each of `asked` is among `counted`."""
    values, counts = np.unique(counted, return_counts=True)
    at = np.minimum(np.searchsorted(values, asked), len(values) - 1)
    return np.where(values[at] == asked, counts[at], 0)


def _indices(text: str) -> Int64[Tensor, " characters"]:
    index = np.zeros(128, dtype=np.int64)
    index[[ord(character) for character in CHARACTERS]] = np.arange(len(CHARACTERS))
    return torch.from_numpy(index[np.frombuffer(text.encode("ascii"), np.uint8)])
