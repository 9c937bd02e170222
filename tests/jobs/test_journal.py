"""A journal loses nothing that was written, whatever happens to its end."""

import numpy as np
import pytest

from largestep.jobs.journal import Journal


def rows(*values):
    return np.array([(value, [value, -value]) for value in values], [("a", "<f8"), ("b", "<f8", 2)])


def written(path, *blocks, key="k"):
    with Journal(path, key) as journal:
        for block in blocks:
            journal.append(np.array([len(block)]), block, np.array("here"))


def read(path, key="k"):
    with Journal(path, key) as journal:
        return [block for _, block, _ in journal.read()]


def test_blocks_come_back_bit_for_bit(tmp_path):
    written(tmp_path / "j", rows(0.1, np.nan), rows(np.inf))
    first, second = read(tmp_path / "j")
    assert first.tobytes() == rows(0.1, np.nan).tobytes()
    assert second.dtype == rows(1.0).dtype


def test_a_journal_goes_on(tmp_path):
    written(tmp_path / "j", rows(1.0))
    written(tmp_path / "j", rows(2.0))
    assert [block["a"][0] for block in read(tmp_path / "j")] == [1.0, 2.0]


def test_blocks_of_another_key_are_left_alone(tmp_path):
    written(tmp_path / "j", rows(1.0), key="one")
    written(tmp_path / "j", rows(2.0), key="two")
    assert [block["a"][0] for block in read(tmp_path / "j", "one")] == [1.0]
    assert [block["a"][0] for block in read(tmp_path / "j", "two")] == [2.0]


def test_cut_off_anywhere_it_keeps_the_whole_blocks_and_goes_on(tmp_path, capsys):
    path = tmp_path / "j"
    written(path, rows(1.0))
    whole = len(path.read_bytes())
    written(path, rows(2.0))
    content = path.read_bytes()
    for length in range(whole + 1, len(content), 17):
        path.write_bytes(content[:length])
        assert [block["a"][0] for block in read(path)] == [1.0]
        assert "half a block at its end" in capsys.readouterr().err
        written(path, rows(3.0))
        assert [block["a"][0] for block in read(path)] == [1.0, 3.0]


def test_a_damaged_block_is_passed_over(tmp_path, capsys):
    path = tmp_path / "j"
    written(path, rows(1.0), rows(2.0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 - 3] ^= 1
    path.write_bytes(content)
    assert [block["a"][0] for block in read(path)] == [2.0]
    assert "damaged block" in capsys.readouterr().err


def test_only_one_process_writes(tmp_path):
    with Journal(tmp_path / "j", "k"), pytest.raises(OSError, match="another process is writing"):
        Journal(tmp_path / "j", "k")
