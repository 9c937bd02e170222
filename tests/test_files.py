import os

import pytest

from largestep import _files


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        _files.atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_not_a_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError, match="is a file: name a folder"):
        _files.prepare_folder(file)
    with pytest.raises(OSError, match="cannot write to the folder"):
        _files.prepare_folder(file / "below")


def test_json_comes_back_and_every_byte_counts(tmp_path):
    path = tmp_path / "a.json"
    _files.write_json(path, {"η": [1, None, "×"]})
    assert _files.read_json(path) == {"η": [1, None, "×"]}
    before = _files.digest(path)
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    assert _files.digest(path) != before


def test_damaged_json_is_named(tmp_path):
    path = tmp_path / "a.json"
    for content in (b"", b"{", b"\xff", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.json cannot be read as JSON"):
            _files.read_json(path)
    content = {"seeds": [0, 1], "nested": {"at": 0.1 + 0.2, "none": None}, 3: "η"}
    _files.write_json(path, content, sealed=True)
    whole = path.read_bytes()
    assert _files.read_json(path, sealed=True)["3"] == "η"
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            found = _files.read_json(path, sealed=True)
        except ValueError as error:
            said = str(error)
        else:  # a space between entries is nothing
            assert found["seeds"] == [0, 1]
            continue
        assert "a.json" in said
    _files.write_json(path, [1])
    with pytest.raises(ValueError, match="no digest"):
        _files.read_json(path, sealed=True)


@pytest.mark.parametrize("content", [b"", b"largestep", bytes(range(256))])
def test_a_seal_tells_every_flipped_bit_and_every_cut(content):
    sealed = _files.seal(content)
    assert _files.unseal(sealed) == content
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"it was cut short|not what was written"):
            _files.unseal(bytes(damaged))
    for length in range(len(sealed)):
        with pytest.raises(ValueError, match=r"it was cut short|not what was written"):
            _files.unseal(sealed[:length])


def test_only_one_process_writes_and_what_killed_ones_left_is_cleared(tmp_path):
    left = tmp_path / f".figure-{'0a' * 16}.svg"
    for name in (left.name, ".figure-notes.svg", ".gitignore"):
        (tmp_path / name).touch()
    refused = pytest.raises(BlockingIOError, match=rf"process {os.getpid()} is writing to")
    with _files.exclusive(tmp_path):
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            ".figure-notes.svg",
            ".gitignore",
            ".lock",
        ]
        with refused, _files.exclusive(tmp_path):
            pass
    with _files.exclusive(tmp_path):
        pass


@pytest.mark.parametrize("make", [os.symlink, os.link, lambda _, path: os.mkfifo(path)])
def test_a_lock_that_leads_elsewhere_is_refused(tmp_path, make):
    target = tmp_path / "diary"
    target.write_text("dear diary")
    folder = _files.prepare_folder(tmp_path / "results")
    make(target, folder / ".lock")
    with pytest.raises(OSError, match="cannot lock"), _files.exclusive(folder):
        pass
    assert target.read_text() == "dear diary"


def test_only_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(OSError, match="is not a regular file"):
            _files.read_bytes(_files.Path(path))
