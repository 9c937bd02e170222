import importlib.util
import sys

import numpy as np
import pytest
from beartype import beartype
from jaxtyping import jaxtyped

import largestep as ls
from largestep.networks import (
    DiagonalLinear,
    FanInUniform,
    Gaussian,
    Linear,
    Network,
    Patches,
    ReLU,
    ScalarQuadratic,
    Signs,
    compiled,
)
from largestep.networks.base import COMBINATION, PREDICTIONS, STRIDE, compile_cached

NETWORKS = [
    DiagonalLinear(d=7),
    DiagonalLinear(d=38),
    Linear(d=5),
    ScalarQuadratic(),
    Patches(patches=3, d=4, units=2),
    ReLU(widths=(2, 20), biases=False),
    ReLU(widths=(1, 9), biases=(True, False)),
    ReLU(widths=(5, 6, 4)),
    ReLU(widths=(3, 8, 2, 5), biases=(False, True, False, True)),
]
every_network = pytest.mark.parametrize("network", NETWORKS, ids=repr)


def some_point(network, rng):
    theta = rng.standard_normal(network.parameters)
    return theta, rng.standard_normal((6, network.inputs))


@every_network
def test_gradient_agrees_with_finite_differences(network, rng):
    theta, x = some_point(network, rng)
    step = 1e-6
    directions = np.eye(network.parameters) * step
    differences = network.predict(theta + directions, x) - network.predict(theta - directions, x)
    np.testing.assert_allclose(
        network.jacobian(theta, x), differences.T / (2 * step), rtol=1e-6, atol=1e-8
    )


@every_network
def test_vectorised_prediction_is_the_compiled_one(network, rng):
    theta, x = some_point(network, rng)
    stack = np.stack([theta, 2 * theta, 0 * theta])
    np.testing.assert_allclose(
        network.predict(stack, x), Network.predict(network, stack, x), atol=1e-12
    )


@every_network
def test_compiled_function_gives_the_rows_of_the_jacobian_whatever_its_buffers_held(network, rng):
    theta, x = some_point(network, rng)
    theta_before, x_before = theta.copy(), x.copy()
    layout, workspace = network.scratch()
    predictions, jacobian = network.predict(theta, x), network.jacobian(theta, x)
    for i in range(len(x)):
        workspace[:] = np.nan
        gradient = np.full(network.parameters, np.nan)
        h = network.prediction_and_gradient(theta, x[i], layout, workspace, gradient)
        assert h == pytest.approx(predictions[i], rel=1e-12, abs=1e-12)
        np.testing.assert_array_equal(gradient, jacobian[i])
    np.testing.assert_array_equal(theta, theta_before)
    np.testing.assert_array_equal(x, x_before)


@every_network
def test_a_stack_of_parameters_is_predicted_one_by_one(network, rng):
    _, x = some_point(network, rng)
    stack = rng.standard_normal((2, 3, network.parameters))
    predictions = network.predict(stack, x)
    assert predictions.shape == (2, 3, 6)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(predictions[index], network.predict(stack[index], x), atol=1e-12)


@every_network
def test_core_has_the_singular_values_of_the_jacobian(network, rng):
    theta, x = some_point(network, rng)
    core = np.linalg.svdvals(network.jacobian_core(theta, x))
    full = np.linalg.svdvals(network.jacobian(theta, x))
    shared = min(len(core), len(full))
    np.testing.assert_allclose(core[:shared], full[:shared], atol=1e-10 * full[0])
    np.testing.assert_allclose(full[shared:], 0, atol=1e-10 * full[0])


@every_network
def test_initialisation_has_the_right_size_and_is_fixed_by_its_stream(network):
    first, second = (network.initialize(np.random.default_rng(4)) for _ in range(2))
    assert first.shape == (network.parameters,)
    np.testing.assert_array_equal(first, second)


def test_dead_columns_of_a_diagonal_network_leave_the_core(rng):
    network = DiagonalLinear(d=4)
    theta = np.array([1.0, 1e-30, 0.0, 2.0, 0.5, 1e-30, 0.0, 1.0])
    assert network.jacobian_core(theta, rng.standard_normal((9, 4))).shape == (9, 2)


def test_a_network_at_zero_has_a_core_of_rank_zero(rng):
    core = DiagonalLinear(d=4).jacobian_core(np.zeros(8), rng.standard_normal((9, 4)))
    assert ls.metrics.jacobian_rank(core) == 0


def test_relu_layers_are_packed_in_order(rng):
    network = ReLU(widths=(2, 3), biases=(True, False))
    theta = np.arange(12.0)
    (weights, biases), (outputs, none) = network.unpack(theta)
    np.testing.assert_array_equal(weights, np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(biases, [6, 7, 8])
    np.testing.assert_array_equal(outputs, [[9, 10, 11]])
    assert none is None
    x = rng.standard_normal((5, 2))
    (features,) = network.features(theta, x)
    np.testing.assert_allclose(features, np.maximum(x @ weights.T + biases, 0))
    np.testing.assert_allclose(network.predict(theta, x), features @ outputs[0])


def test_relu_counts_the_papers_parameters():
    assert ReLU(widths=(1, 100), biases=(True, False)).parameters == 300
    assert ReLU(widths=(2, 20), biases=False).parameters == 60
    assert ReLU(widths=(5, 10, 10)).parameters == 181


with_shortcuts = pytest.mark.parametrize(
    "network",
    [*(DiagonalLinear(d) for d in (1, 3, 4, 21, 64)), *(Linear(d) for d in (1, 6, 33))],
    ids=repr,
)


@with_shortcuts
@pytest.mark.parametrize("n", [1, 4, 11])
def test_shortcuts_do_what_predictions_and_gradients_do(network, n, rng):
    theta = rng.standard_normal(network.parameters)
    x = rng.standard_normal((n, network.inputs))
    c = rng.standard_normal(n)
    layout, workspace = network.scratch()
    workspace[:] = np.nan
    h, total = np.full(n, np.nan), np.full(network.parameters, np.nan)
    network.predictions(theta, x, layout, workspace, h)
    np.testing.assert_allclose(h, network.predict(theta, x), rtol=1e-12, atol=1e-12)
    workspace[:] = np.nan
    network.combination(theta, x, c, layout, workspace, total)
    gradients = network.jacobian(theta, x)
    np.testing.assert_allclose(total, c @ gradients, rtol=1e-12, atol=1e-12)
    if network.stride is not None:
        moved = theta.copy()
        following, _ = network.stride(moved, x, 0, c[0], n - 1, False, layout, workspace)
        np.testing.assert_allclose(moved, theta + c[0] * gradients[0], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(following, network.predict(moved, x)[-1], rtol=1e-12, atol=1e-12)
        again, square = network.stride(moved, x, 0, 0.0, n - 1, True, layout, workspace)
        np.testing.assert_allclose(again, following, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(square, np.sum(network.jacobian(moved, x)[-1] ** 2), rtol=1e-12)


@pytest.mark.parametrize(
    "network", [ls.networks.DiagonalLinear(5), ls.networks.Linear(5)], ids=repr
)
def test_fewer_inputs_stand_for_all_where_the_network_is_linear_in_them(network, rng):
    assert network.linear_in_inputs
    x, theta = rng.standard_normal((12, 5)), rng.standard_normal(network.parameters)
    r = np.linalg.qr(x, mode="r")
    values = np.linalg.svdvals(network.jacobian(theta, x))
    np.testing.assert_allclose(np.linalg.svdvals(network.jacobian(theta, r)), values[:5], rtol=1e-9)
    np.testing.assert_allclose(network.predict(theta, 2.0 * x), 2.0 * network.predict(theta, x))


def test_ranks_are_those_at_all_test_inputs(rng):
    class Plain(ls.networks.DiagonalLinear):
        linear_in_inputs = False

    problem = ls.problems.sparse_regression(n=9, d=6, nonzeros=2, seed=0, test_points=40)
    measures = [ls.measures.jacobian_rank((1e-1, 1e-6)), ls.measures.effective_rank()]
    thetas = rng.standard_normal((7, 12)) * np.geomspace(1.0, 1e-8, 12)
    for measure in measures:
        values, plain = (
            measure.on(kind(6), problem, thetas) for kind in (ls.networks.DiagonalLinear, Plain)
        )
        np.testing.assert_allclose(values, plain, rtol=1e-10)


@compiled
def middle(theta, x, layout, workspace, gradient):
    gradient[0] = 2.0 * theta[0] * np.median(x)
    return theta[0] ** 2 * np.median(x)


def test_a_network_that_is_not_linear_in_its_inputs_may_not_say_so(rng):
    class Wrong(ls.networks.ReLU):
        linear_in_inputs = True

    class Median(ls.networks.Network):  # odd and homogeneous, and all zeros where it starts
        inputs, parameters, prediction_and_gradient, linear_in_inputs = 3, 1, middle, True

        def initialize(self, rng):
            return np.zeros(1)

    for network in (Wrong((3, 4), biases=False), Median()):
        with pytest.raises(ValueError, match="has linear_in_inputs, and is not linear"):
            network.jacobian(network.initialize(rng), rng.standard_normal((3, 3)))


def test_who_replaces_the_function_has_no_shortcuts_of_the_old_one():
    class Tilted(DiagonalLinear):
        prediction_and_gradient = tanh_neuron

    class Named(DiagonalLinear):
        pass

    assert Tilted(3).stride is None
    assert Tilted(3).predictions is Tilted(3).combination is None
    assert not Tilted(3).linear_in_inputs
    assert Named(3).stride is DiagonalLinear.stride


def test_initialisations_draw_what_they_say():
    network = ReLU(
        widths=(4, 2000),
        biases=(True, False),
        weights_from=(Signs(2.5), Gaussian(4.0)),
        biases_from=FanInUniform(),
    )
    (weights, biases), (outputs, _) = network.unpack(network.initialize(np.random.default_rng(0)))
    assert set(np.unique(weights)) == {-2.5, 2.5}
    assert np.mean(weights > 0) == pytest.approx(0.5, abs=0.03)
    assert np.abs(biases).max() <= 0.5
    assert np.abs(biases).max() > 0.49
    assert np.std(outputs) == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"widths": (3,)}, ValueError),
        ({"widths": 3}, ValueError),
        ({"widths": (3, 0)}, ValueError),
        ({"widths": (3, 2.5)}, TypeError),
        ({"widths": (3, 4), "biases": (True,)}, ValueError),
        ({"widths": (3, 4), "weights_from": (Gaussian(1.0),) * 3}, ValueError),
    ],
)
def test_impossible_relu_networks_are_refused(settings, error):
    with pytest.raises(error, match="must be"):
        ReLU(**settings)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="d must be at least 1"):
        DiagonalLinear(d=0)
    with pytest.raises(ValueError, match="u0 must be finite"):
        DiagonalLinear(d=3, u0=np.nan)
    with pytest.raises(ValueError, match="scale must be at least 0"):
        Gaussian(-1.0)


@compiled
def tanh_neuron(theta, x, layout, workspace, gradient):
    z = 0.0
    for j in range(x.shape[0]):
        z += theta[j] * x[j]
    h = np.tanh(z)
    for j in range(x.shape[0]):
        gradient[j] = (1.0 - h * h) * x[j]
    return h


class TanhNeuron(Network):
    inputs, parameters = 3, 3
    prediction_and_gradient = tanh_neuron

    def initialize(self, rng):
        return rng.standard_normal(3)


@pytest.mark.parametrize("dynamics", [ls.dynamics.SGD(batch_size=2), ls.dynamics.GD()], ids=repr)
def test_a_network_of_the_users_own_needs_nothing_but_itself(dynamics, rng):
    x = rng.standard_normal((10, 3))
    problem = ls.problems.Problem(x, np.tanh(x @ [1.0, -2.0, 0.5]))
    order = rng.integers(0, 10, size=(300, 2)) if isinstance(dynamics, ls.dynamics.SGD) else None
    start = np.array([0.1, 0.2, 0.3])
    runs = ls.simulate(
        TanhNeuron(),
        problem,
        dynamics,
        0.1,
        steps=300,
        initial=start,
        order=order,
        measure=["parameters", "train_loss", "jacobian_rank"],
    )
    theta = start
    for k in range(300):
        batch = slice(None) if order is None else order[k]
        h = np.tanh(x[batch] @ theta)
        gradient = ((h - problem.y_train[batch]) * (1 - h**2)) @ x[batch] / len(h)
        theta = theta - 0.1 * gradient
    np.testing.assert_allclose(runs.parameters.isel(schedule=0, seed=0, step=-1), theta, rtol=1e-10)
    assert runs.jacobian_rank.isel(schedule=0, seed=0, step=-1) == 3


@every_network
def test_shapes_are_what_the_annotations_say(network, rng, monkeypatch):
    kind = type(network)
    for name in ("initialize", "predict", "jacobian", "jacobian_core", "features", "unpack"):
        if hasattr(kind, name):
            monkeypatch.setattr(kind, name, jaxtyped(getattr(kind, name), typechecker=beartype))
    theta, x = some_point(network, rng)
    network.initialize(rng)
    network.jacobian(theta, x)
    network.jacobian_core(theta, x)
    for stack in (theta, np.stack([theta, theta])):
        network.predict(stack, x)
        if isinstance(network, ReLU):
            network.features(stack, x)
            network.unpack(stack)


def test_no_machine_code_is_kept_that_cannot_be_read_back(tmp_path):
    path = tmp_path / "neuron.py"
    path.write_text(
        "from largestep.networks import compiled\n"
        "@compiled\n"
        "def neuron(theta, x, layout, workspace, gradient):\n"
        "    gradient[0] = x[0]\n"
        "    return theta[0] * x[0]\n"
    )
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": "nowhere"})
    assert list(tmp_path.iterdir()) == [path]


@every_network
@pytest.mark.parametrize("method", ["predict", "jacobian", "jacobian_core"])
def test_arrays_that_do_not_fit_never_reach_compiled_code(network, method, rng):
    theta, x = some_point(network, rng)
    call = getattr(network, method)
    for bad in (
        theta[:-1],
        np.ones(2 * len(theta)),
        theta.astype(complex),
        np.full(theta.shape, "a"),
        np.ma.masked_array(theta, mask=np.arange(len(theta)) == 0),
        None,
        [[1.0], [1.0, 2.0]],
    ):
        with pytest.raises((TypeError, ValueError), match=r"^theta must"):
            call(bad, x)
    for bad in (x[0], np.ones((2000, network.inputs + 1)), np.ones((3, 400_000)), x[:, :0], "x"):
        with pytest.raises((TypeError, ValueError), match=r"^x must"):
            call(theta, bad)
    every_other = np.asfortranarray(np.repeat(x, 2, axis=0))[::2]
    every_other.flags.writeable = False
    np.testing.assert_allclose(call(theta.tolist(), every_other), call(theta, x), rtol=1e-14)
    assert call(theta, x[:0]).shape[0] == 0
    with np.errstate(all="ignore"):
        assert np.isnan(call(np.full(len(theta), np.nan), x)).any()


def wrong(body):
    text = f"""
def function(theta, x, layout, workspace, gradient):
    gradient[0] = x[0]
    {body}
    return theta[0] * x[0]
"""
    found = {}
    exec(text, found)

    class Wrong(Network):
        inputs, parameters, prediction_and_gradient = 1, 1, compiled(found["function"])

        def initialize(self, rng):
            return np.ones(1)

    return Wrong()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("gradient[1] = 1.0", "writes beyond the 1 entries of gradient"),
        ("workspace[0] = 1.0", "writes beyond the 0 entries of workspace"),
        ("theta[0] = 7.0", "must not write to theta"),
        ("x[0] = 7.0", "must not write to x"),
        ("gradient[0] = theta[1]", "reads beyond the arrays"),
    ],
)
def test_a_function_that_does_not_keep_in_its_arrays_is_refused(body, message):
    network = wrong(body)
    problem = ls.problems.Problem(np.ones((3, 1)), np.ones(3))
    for call in (
        lambda: network.jacobian(np.ones(1), np.ones((3, 1))),
        lambda: network.predict(np.ones(1), np.ones((3, 1))),
        lambda: ls.simulate(network, problem, schedules=0.1, steps=3),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_every_entry_of_the_gradient_must_be_written():
    network = wrong("pass")
    type(network).parameters = 2
    with pytest.raises(ValueError, match=r"must overwrite gradient\[1\]"):
        network.jacobian(np.ones(2), np.ones((3, 1)))


STRIDING = """
def function(theta, x, i, c, following, measured, layout, workspace):
    {body}
    theta[0] += c * x[i, 0]
    return theta[0] * x[following, 0], x[following, 0] ** 2
"""
PREDICTING = """
def function(theta, x, layout, workspace, h):
    for i in range(x.shape[0]):
        h[i] = theta[0] * x[i, 0]
    {body}
"""
COMBINING = """
def function(theta, x, c, layout, workspace, total):
    total[0] = 0.0
    for i in range(x.shape[0]):
        total[0] += c[i] * x[i, 0]
    {body}
"""


def shortcut(text, body, signature):
    found = {}
    exec(text.format(body=body), found)
    return compile_cached(signature)(found["function"])


@pytest.mark.parametrize(
    ("name", "text", "body", "message"),
    [
        ("stride", STRIDING, "theta[1] = 7.0", "stride of Wrong writes beyond the 1 .* of theta"),
        ("stride", STRIDING, "x[following, 0] = 7.0", "stride of Wrong must not write to x"),
        ("stride", STRIDING, "theta[0] += x[3, 0]", "stride of Wrong reads beyond"),
        ("stride", STRIDING, "theta[0] += x[3, 0] if measured else 0.0", "stride of Wrong reads"),
        ("stride", STRIDING, "theta[0] += 0.0 if measured else x[3, 0]", "stride of Wrong reads"),
        ("predictions", PREDICTING, "h[3] = 1.0", "writes beyond the 3 entries of h"),
        ("predictions", PREDICTING, "x[0, 0] = 7.0", "must not write to x"),
        ("predictions", "def function(theta, x, layout, workspace, h): pass", "", r"write h\[0\]"),
        ("combination", COMBINING, "total[1] = 1.0", "writes beyond the 1 entries of total"),
        ("combination", COMBINING, "c[0] = 7.0", "must not write to c"),
    ],
)
def test_a_shortcut_that_does_not_keep_in_its_arrays_is_refused(name, text, body, message):
    network = wrong("pass")
    for right, (source, signature) in {
        "stride": (STRIDING, STRIDE),
        "predictions": (PREDICTING, PREDICTIONS),
        "combination": (COMBINING, COMBINATION),
    }.items():
        made = shortcut(*((text, body) if right == name else (source, "pass")), signature)
        setattr(type(network), right, staticmethod(made))
    problem = ls.problems.Problem(np.ones((3, 1)), np.ones(3))
    with pytest.raises(ValueError, match=message):
        ls.simulate(network, problem, schedules=0.1, steps=3)


def test_a_shortcut_of_another_kind_is_named():
    network = wrong("pass")
    type(network).stride = staticmethod(lambda *_: 0.0)
    with pytest.raises(TypeError, match="stride of Wrong must be compiled"):
        network.jacobian(np.ones(1), np.ones((3, 1)))
    network = wrong("pass")
    type(network).predictions = staticmethod(lambda *_: None)
    with pytest.raises(TypeError, match="both or neither"):
        network.jacobian(np.ones(1), np.ones((3, 1)))


def test_what_is_not_compiled_is_named():
    network = wrong("pass")
    type(network).prediction_and_gradient = staticmethod(lambda *_: 0.0)
    with pytest.raises(TypeError, match="prediction_and_gradient of Wrong must be compiled"):
        network.jacobian(np.ones(1), np.ones((3, 1)))


@pytest.mark.parametrize("start", [np.ones(3), [1j], None, np.ones((1, 1))])
def test_a_start_of_another_shape_is_refused(start, line):
    class Off(type(line)):
        def initialize(self, rng):
            return start

    problem = ls.problems.Problem(np.ones((3, 1)), np.ones(3))
    with pytest.raises((TypeError, ValueError), match=r"what Off\.initialize returns must"):
        ls.simulate(Off(), problem, schedules=0.1, steps=3)


def test_a_start_that_the_network_keeps_is_not_moved(line):
    class Kept(type(line)):
        start = np.full(1, 0.5)

        def initialize(self, rng):
            return self.start

    problem = ls.problems.Problem(np.ones((3, 1)), np.ones(3))
    runs = ls.simulate(Kept(), problem, schedules=0.1, steps=9, seeds=range(3))
    assert (Kept.start == 0.5).all()
    assert (runs.train_loss.isel(step=0) == runs.train_loss[0, 0, 0]).all()


CACHED = """
from numba import types
from largestep.networks.base import compile_cached

@compile_cached(types.float64(types.float64))
def double(x):
    return 2.0 * x
"""


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:40], lambda b: b[::-1]])
def test_a_damaged_cache_of_compiled_code_is_made_anew(tmp_path, monkeypatch, suffix, damage):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "")  # beside the source
    path = tmp_path / "cached.py"
    path.write_text(CACHED)
    spec = importlib.util.spec_from_file_location("cached", path)
    for _ in range(2):
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "cached", module)
        spec.loader.exec_module(module)
        assert module.double(2.0) == 4.0
        (file,) = (tmp_path / "__pycache__").glob(f"*.{suffix}")
        file.write_bytes(damage(file.read_bytes()))
