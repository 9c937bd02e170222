import numpy as np
import pytest

from largestep.measures import losses


@pytest.mark.parametrize("together", [1, 20, 300, 1 << 16])
@pytest.mark.parametrize(
    "shape", [(16,), (1, 16), (3, 16), (40, 16), (2, 3, 16), (1, 40, 16), (2, 3, 40, 16), (0, 16)]
)
def test_losses_are_the_same_however_many_predictions_are_made_together(
    sparse_problem, diagonal, rng, monkeypatch, shape, together
):
    thetas = rng.standard_normal(shape)
    predictions = diagonal.predict(thetas, sparse_problem.test_inputs)
    expected = np.mean(sparse_problem.loss.value(predictions, sparse_problem.test_targets), axis=-1)
    monkeypatch.setattr(losses, "_CACHED", together)
    found = losses.test_loss().function(diagonal, sparse_problem, thetas)
    np.testing.assert_allclose(found, expected, rtol=1e-13, strict=shape != (16,))
