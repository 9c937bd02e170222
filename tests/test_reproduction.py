from contextlib import nullcontext

import pytest

from largestep import reproduction
from largestep.experiments.andriushchenko2023.survival import compute as survival
from largestep.jobs import processes
from largestep.jobs.here import Here


@pytest.mark.parametrize(("seconds", "there"), [(0.0, True), (1e9, False)])
def test_a_page_is_written_before_what_would_keep_it_waiting(
    tmp_path, monkeypatch, capsys, seconds, there
):
    def fails(budget):
        raise RuntimeError("the second")

    monkeypatch.setattr(reproduction, "_SECONDS_TO_A_PAGE", seconds)
    monkeypatch.setattr(survival, "compute", fails)
    with pytest.raises(RuntimeError, match="the second"):
        reproduction.reproduce(
            ["one-dimension", "survival"], tmp_path, seeds=1, quick=True, progress=True
        )
    page = tmp_path / "report.html"
    assert page.exists() == there
    assert (f"{page} shows what is finished so far" in capsys.readouterr().err) == there
    if there:
        assert 'id="one-dimension"' in page.read_text(encoding="utf-8")


def test_what_is_shown_in_another_process_is_shown_alike(tmp_path, monkeypatch, loaded):
    monkeypatch.setattr(processes, "get_context", lambda _: loaded)
    names = ["one-dimension", "shrinkage"]
    for folder, seconds in (("here", 1e9), ("beside", 0.0)):
        monkeypatch.setattr(reproduction, "_SECONDS_TO_A_PROCESS", seconds)
        reproduction.reproduce(names, tmp_path / folder, seeds=2, quick=True)
    for name in names:
        made = {path.name for path in (tmp_path / "here" / name).iterdir()}
        assert made == {path.name for path in (tmp_path / "beside" / name).iterdir()}
        for file in ("claims.json", "ends.csv"):
            here, beside = (tmp_path / folder / name / file for folder in ("here", "beside"))
            assert here.read_bytes() == beside.read_bytes()


def test_what_cannot_be_shown_beside_is_left_out(tmp_path, monkeypatch, capsys):
    def fails(name, folder, pictures):
        raise ImportError(name)

    monkeypatch.setattr(reproduction, "_SECONDS_TO_A_PROCESS", 0.0)
    monkeypatch.setattr(reproduction, "process_pool", lambda number: nullcontext(Here()))
    monkeypatch.setattr(reproduction, "_show", fails)
    reproduction.reproduce(["one-dimension", "shrinkage"], tmp_path, seeds=2, quick=True)
    assert "one-dimension is broken and left out" in capsys.readouterr().err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="shrinkage"' in page
    assert not (tmp_path / "one-dimension" / "claims.json").exists()
