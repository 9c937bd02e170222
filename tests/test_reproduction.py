import pytest

from largestep import reproduction
from largestep.experiments.andriushchenko2023.survival import compute as survival


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
