"""The border of the library: whatever a public function is given, it gives a result or says no."""

import pytest
from tests import border


def test_every_public_function_is_called():
    listed = set(border.public())
    called = set(border.CALLS)
    classes = {name.rpartition(".")[0] for name in called}
    assert listed <= called | classes
    assert all(
        name in listed
        or name.rpartition(".")[0] in listed | {"losses.Logistic", "losses.Perceptron"}
        or name.startswith("networks.Line")
        for name in called
    )


@pytest.mark.parametrize("name", border.CALLS)
def test_what_fits_gives_a_result(name):
    call, arguments = border.CALLS[name]
    call(**arguments)


def test_ten_thousand_drawn_calls_give_results_or_say_what_is_wrong():
    bad = [case for seed in range(10_000) if (case := border.attempt(seed))[1] is not None]
    assert not bad, "\n".join(f"{outcome}: {case}"[:400] for outcome, case in bad[:20])
