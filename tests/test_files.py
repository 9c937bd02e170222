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
