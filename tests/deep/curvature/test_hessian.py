import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.func import functional_call, jacrev  # noqa: E402
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset  # noqa: E402

from largestep.deep.sharpness import (  # noqa: E402
    GaussNewton,
    Hessian,
    gradient_share,
    largest_eigenvalues,
    spectral_density,
    spectral_moments,
    stability,
)


def smooth(outputs=3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1, bias=False),
            nn.BatchNorm2d(2),
            nn.Tanh(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8, outputs),
        )
        model(torch.randn(30, 1, 5, 5))
    return model.double()


def data(n=20, outputs=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, 5, 5, generator=generator, dtype=torch.float64)
    return x, torch.randint(outputs, (n,), generator=generator)


def cut(x, y, *sizes):
    return list(zip(x.split(sizes), y.split(sizes), strict=True))


def dense(model, loss, x, y):
    """Return gradient, Hessian and Gauss–Newton matrix by nested reverse differentiation."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    shapes = [p.shape for p in parameters]

    def outputs(theta):
        parts = theta.split([shape.numel() for shape in shapes])
        state = {n: p.reshape(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return functional_call(model, state, (x,))

    theta = torch.cat([p.detach().flatten() for p in parameters])
    jacobian = jacrev(outputs)(theta).flatten(0, -2)
    curvature = jacrev(jacrev(lambda z: loss(z, y)))(outputs(theta))
    curvature = curvature.reshape(len(jacobian), len(jacobian))
    hessian = jacrev(jacrev(lambda t: loss(outputs(t), y)))(theta)
    gradient = jacrev(lambda t: loss(outputs(t), y))(theta)
    return gradient.numpy(), hessian.numpy(), (jacobian.T @ curvature @ jacobian).numpy()


@pytest.mark.parametrize("kind", ["cross-entropy", "squared"])
@pytest.mark.parametrize("sizes", [(20,), (11, 2, 7)])
def test_the_operators_are_the_dense_matrices(kind, sizes):
    model, (x, y) = smooth().eval(), data()
    if kind == "squared":
        loss, y = nn.MSELoss(), nn.functional.one_hot(y, 3).double()
    else:
        loss = nn.CrossEntropyLoss()
    gradient, hessian, gauss_newton = dense(model, loss, x, y)
    identity = np.eye(len(gradient))
    for operator, expected in (
        (Hessian(model, loss, cut(x, y, *sizes)), hessian),
        (GaussNewton(model, loss, cut(x, y, *sizes)), gauss_newton),
    ):
        np.testing.assert_allclose(operator @ identity, expected, atol=1e-12)
        np.testing.assert_allclose(operator.T @ identity[:, 3], expected[3], atol=1e-12)
        np.testing.assert_allclose(operator.gradient, gradient, atol=1e-12)
        assert operator.loss == pytest.approx(loss(model(x), y).item())
        assert operator.examples == 20


def test_eigenvalues_moments_and_share_are_those_of_the_dense_hessian():
    model, (x, y), loss = smooth().eval(), data(), nn.CrossEntropyLoss()
    gradient, matrix, _ = dense(model, loss, x, y)
    hessian = Hessian(model, loss, cut(x, y, 15, 5))
    expected, vectors = np.linalg.eigh(matrix)
    found = largest_eigenvalues(hessian, 3)
    np.testing.assert_allclose(found.values, expected[::-1][:3], rtol=1e-4)
    np.testing.assert_allclose(np.abs(np.sum(found.vectors * vectors[:, :-4:-1], 0)), 1, rtol=1e-4)
    assert (found.residuals <= 1e-4 * expected[-1]).all()
    top = vectors[:, -3:]
    share = np.linalg.norm(top.T @ gradient) ** 2 / np.linalg.norm(gradient) ** 2
    assert gradient_share(hessian.gradient, found.vectors) == pytest.approx(share, rel=1e-3)
    moments = spectral_moments(hessian, samples=400, confidence=0.999)
    assert moments.trace.low < np.trace(matrix) < moments.trace.high
    assert moments.frobenius_norm.low < np.linalg.norm(matrix) < moments.frobenius_norm.high


def test_dictionaries_of_arguments_are_batches():
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = smooth().eval()

        def forward(self, x, labels):
            logits = self.network(x)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    model, (x, y) = Classifier(), data()
    batches = [{"x": a, "labels": b} for a, b in cut(x, y, 12, 8)]
    found = Hessian(model, lambda outputs, _: outputs["loss"], batches)
    expected = Hessian(model.network, nn.CrossEntropyLoss(), cut(x, y, 20))
    vectors = np.eye(found.shape[0])[:, :5]
    np.testing.assert_allclose(found @ vectors, expected @ vectors, atol=1e-12)
    with pytest.raises(TypeError, match="with labels, got dict"):
        Hessian(model, lambda outputs, _: outputs["loss"], [{"x": x}])


def test_batch_norm_in_training_mode_uses_each_batch():
    model, (x, y), loss = smooth().train(), data(), nn.CrossEntropyLoss()
    batches = cut(x, y, 10, 10)

    def gradient():
        total = sum(loss(model(x), y) for x, y in batches) / 2
        parts = torch.autograd.grad(total, list(model.parameters()))
        return torch.cat([part.flatten() for part in parts]).numpy()

    hessian = Hessian(model, loss, batches)
    found = hessian @ np.eye(hessian.shape[0])
    np.testing.assert_allclose(hessian.gradient, gradient(), atol=1e-14)
    # Nested reverse differentiation under vmap is wrong for batch norm: finite differences.
    columns = []
    for parameter in model.parameters():
        entries = parameter.data.view(-1)
        for j in range(len(entries)):
            entries[j] += 1e-6
            up = gradient()
            entries[j] -= 2e-6
            columns.append((up - gradient()) / 2e-6)
            entries[j] += 1e-6
    np.testing.assert_allclose(found, np.transpose(columns), atol=1e-9)


def test_the_model_the_data_and_all_random_states_stay_as_they_were():
    model, (x, y), loss = smooth().train(), data(), nn.CrossEntropyLoss()
    model[0].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    own = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(x, y), batch_size=8, generator=own)
    states = torch.get_rng_state(), own.get_state()
    with torch.no_grad():
        for operator in (Hessian(model, loss, loader), GaussNewton(model, loss, loader)):
            largest_eigenvalues(operator)
            spectral_moments(operator, samples=2)
            spectral_density(operator, steps=3, starts=1)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[5].weight.grad is None
    assert torch.equal(states[0], torch.get_rng_state())
    assert torch.equal(states[1], own.get_state())


def test_an_operator_is_of_the_time_when_it_was_made():
    model, (x, y) = smooth().eval(), data()
    hessian = Hessian(model, nn.CrossEntropyLoss(), [(x, y)])
    vector = np.ones(hessian.shape[0])
    before = hessian @ vector
    with torch.no_grad():
        model[5].weight.zero_()
    np.testing.assert_array_equal(hessian @ vector, before)


def test_losses_without_curvature_give_zero():
    model = nn.Linear(2, 1).double()
    pair = [(torch.ones(3, 2), torch.zeros(3, 1))]
    for operator in (Hessian(model, nn.L1Loss(), pair), GaussNewton(model, nn.L1Loss(), pair)):
        np.testing.assert_array_equal(operator @ np.eye(3), np.zeros((3, 3)))


def with_spectrum(values, seed):
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values),) * 2))[0]
    return (basis * values) @ basis.T


@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_eigenvalues_of_known_spectra(p, k, seed):
    spectrum = np.sort(np.random.default_rng(seed).standard_normal(p))[::-1]
    matrix, k = with_spectrum(spectrum, seed), min(k, p)
    found = largest_eigenvalues(matrix, k, tolerance=1e-10, seed=seed)
    np.testing.assert_allclose(found.values, spectrum[:k], atol=1e-8)
    remainder = matrix @ found.vectors - found.vectors * found.values
    np.testing.assert_allclose(np.linalg.norm(remainder, axis=0), found.residuals, atol=1e-12)
    assert found.products >= k


def test_eigenvalues_are_the_same_bit_for_bit_also_where_the_krylov_space_closes():
    for matrix in (with_spectrum(np.arange(50.0), 0), with_spectrum(np.eye(50)[0], 0)):
        first, second = (largest_eigenvalues(matrix, 3, seed=5) for _ in range(2))
        np.testing.assert_array_equal(first.values, second.values)
        np.testing.assert_array_equal(first.vectors, second.vectors)
        assert first.values[0] == pytest.approx(np.linalg.eigvalsh(matrix)[-1])
    np.testing.assert_array_equal(largest_eigenvalues(np.zeros((50, 50)), 2).values, 0.0)
    np.testing.assert_allclose(largest_eigenvalues(np.eye(50), 2).values, 1.0)
    np.testing.assert_allclose(largest_eigenvalues(-np.eye(50), 1).values, -1.0)


def test_intervals_cover_as_often_as_they_say():
    values = np.linspace(-1, 3, 40)
    matrix = with_spectrum(values, 1)
    found = [spectral_moments(matrix, samples=30, confidence=0.9, seed=s) for s in range(300)]
    for covered in (
        [m.trace.low <= values.sum() <= m.trace.high for m in found],
        [m.frobenius_norm.low <= np.linalg.norm(values) <= m.frobenius_norm.high for m in found],
    ):
        assert 0.85 <= np.mean(covered) <= 0.95


def test_signs_find_the_trace_of_a_diagonal_matrix_exactly():
    found = spectral_moments(np.diag([1.0, -2.0, 5.0]), samples=2)
    assert (found.trace.low, found.trace.value, found.trace.high) == (4.0, 4.0, 4.0)
    assert found.frobenius_norm.value == pytest.approx(np.sqrt(30))


@given(st.integers(1, 40), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_the_density_integrates_to_one_and_keeps_the_moments(p, seed):
    spectrum = np.random.default_rng(seed).standard_normal(p)
    found = spectral_density(with_spectrum(spectrum, seed), starts=2, seed=seed)
    assert np.trapezoid(found.density, found.eigenvalues) == pytest.approx(1.0)
    assert found.weights.sum() == pytest.approx(1.0)
    assert (found.density >= 0).all()
    assert spectrum.min() - 1e-8 <= found.nodes.min()
    assert found.nodes.max() <= spectrum.max() + 1e-8


def test_the_density_finds_where_the_eigenvalues_are():
    spectrum = np.r_[np.zeros(180), np.full(15, 2.0), np.full(5, 10.0)]
    found = spectral_density(with_spectrum(spectrum, 0), starts=50)
    for low, high, share in ((-1, 1, 0.9), (1, 3, 0.075), (9, 11, 0.025)):
        inside = (found.eigenvalues > low) & (found.eigenvalues < high)
        mass = np.trapezoid(found.density[inside], found.eigenvalues[inside])
        assert mass == pytest.approx(share, abs=0.02)
    # A full Krylov space knows the start's moments exactly.
    matrix = with_spectrum(np.linspace(-1, 1, 12), 3)
    full = spectral_density(matrix, starts=1, seed=2)
    start = np.random.default_rng(2).integers(0, 2, size=(12, 1)) * 2.0 - 1.0
    for power in range(6):
        moment = (start.T @ np.linalg.matrix_power(matrix, power) @ start).item() / 12
        assert full.weights @ full.nodes**power == pytest.approx(moment, abs=1e-10)


def test_a_diverged_model_is_recorded_as_nan():
    model, (x, y) = smooth().eval(), data()
    model[5].weight.data[:] = torch.inf
    hessian = Hessian(model, nn.CrossEntropyLoss(), [(x, y)])
    found = largest_eigenvalues(hessian, 2)
    assert np.isnan(found.values).all()
    assert np.isnan(found.residuals).all()
    assert np.isnan(spectral_moments(hessian, samples=2).trace.value)
    assert np.isnan(spectral_moments(hessian, samples=2).frobenius_norm.value)
    assert np.isnan(spectral_density(hessian, steps=2, starts=1).density).all()
    assert np.isnan(stability(0.1, sharpness=np.nan, trace=np.nan, frobenius_norm=np.nan).sgd)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_beyond_its_bound_sgd_is_unstable_in_mean_square(batch_size):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((12, 5))
    matrix = features.T @ features / 12
    values = np.linalg.eigvalsh(matrix)
    moments = {"trace": values.sum(), "frobenius_norm": np.linalg.norm(values)}
    unit = stability(1.0, sharpness=values[-1], batch_size=batch_size, **moments)

    def growth(step_size):
        """Return the largest eigenvalue of the map of second moments, as a matrix."""
        eye = np.eye(5)
        outer = np.einsum("ni,nj->nij", features, features)
        fourth = np.mean([np.kron(a, a) for a in outer], axis=0)
        mean = np.kron(matrix, matrix)
        noise = fourth / batch_size + (1 - 1 / batch_size) * mean
        step = np.kron(eye, eye) - step_size * (np.kron(matrix, eye) + np.kron(eye, matrix))
        return np.linalg.eigvalsh(step + step_size**2 * noise)[-1]

    assert growth(1.001 / unit.sgd) > 1
    assert growth(1.001 / unit.gradient_descent) > 1
    assert growth(0.05 / unit.sgd) < 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"batches": []}, ValueError, "at least one example"),
        ({"batches": iter([])}, TypeError, "only once"),
        ({"batches": [torch.ones(2, 3)]}, TypeError, "pair of tensors"),
        ({"loss": nn.MSELoss(reduction="sum")}, ValueError, "reduction='sum'"),
        ({"loss": nn.CrossEntropyLoss(torch.ones(2))}, ValueError, "class weights"),
        ({"loss": lambda z, y: z - y}, ValueError, "one number"),
        ({"model": nn.Flatten()}, ValueError, "require a gradient"),
        (
            {"model": nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))},
            ValueError,
            "dropout",
        ),
    ],
)
def test_bad_input_is_refused(change, error, message):
    given = {
        "model": nn.Linear(3, 2),
        "loss": nn.MSELoss(),
        "batches": [(torch.arange(30.0).reshape(10, 3), torch.ones(10, 2))],
    } | change
    with pytest.raises(error, match=message):
        Hessian(**given)


def test_a_shuffling_loader_is_refused_by_name():
    dataset = TensorDataset(torch.ones(4, 3), torch.ones(4, 2))
    for setting in ({"shuffle": True}, {"sampler": SubsetRandomSampler([0, 1])}):
        with pytest.raises(ValueError, match=r"DataLoader that shuffles .*RandomSampler"):
            Hessian(nn.Linear(3, 2), nn.MSELoss(), DataLoader(dataset, **setting))
    assert Hessian(nn.Linear(3, 2), nn.MSELoss(), DataLoader(dataset)).examples == 4


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: largest_eigenvalues(np.eye(3), 4), ValueError, "k must be at most 3"),
        (lambda: largest_eigenvalues(np.ones((2, 3))), ValueError, "square"),
        (lambda: largest_eigenvalues(np.eye(3), tolerance=0.0), ValueError, "above 0"),
        (lambda: spectral_moments(np.eye(3), samples=1), ValueError, "at least 2"),
        (lambda: spectral_moments(np.eye(3), confidence=1.0), ValueError, "below 1"),
        (lambda: spectral_density(np.eye(3), steps=0), ValueError, "steps"),
        (
            lambda: stability(0.0, sharpness=1.0, trace=1.0, frobenius_norm=1.0),
            ValueError,
            "step_size",
        ),
    ],
)
def test_settings_out_of_range_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
