import pytest

from largestep.reproduction import reproduce


def test_the_page_is_there_before_deep_networks_are_trained(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from largestep.experiments.tyurin2024.logistic import compute as deep

    def fails(budget):
        raise RuntimeError((tmp_path / "report.html").read_text(encoding="utf-8"))

    monkeypatch.setattr(deep, "compute", fails)
    with pytest.raises(RuntimeError) as stopped:
        reproduce(["logistic", "one-dimension"], tmp_path, seeds=1, quick=True)
    assert 'id="one-dimension"' in str(stopped.value)
