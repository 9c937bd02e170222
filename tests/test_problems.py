import numpy as np
import pytest

from largestep import networks, problems
from largestep.problems import Problem


def test_sparse_truth_has_norm_one_on_the_first_coordinates():
    problem = problems.sparse_regression(n=10, d=30, nonzeros=4, seed=3)
    assert np.linalg.norm(problem.truth) == pytest.approx(1.0)
    assert (problem.truth[:4] > 0).all()
    assert not problem.truth[4:].any()
    np.testing.assert_allclose(problem.y_train, problem.x_train @ problem.truth)
    np.testing.assert_allclose(problem.y_test, problem.x_test @ problem.truth)


def test_dense_truth_lives_on_all_coordinates_of_the_same_inputs():
    sparse = problems.sparse_regression(n=10, d=30, nonzeros=4, seed=3)
    dense = problems.sparse_regression(n=10, d=30, nonzeros=4, seed=3, dense=True)
    assert (dense.truth > 0).all()
    np.testing.assert_array_equal(dense.x_train, sparse.x_train)


def test_noise_moves_training_targets_alone():
    clean = problems.sparse_regression(n=500, d=5, nonzeros=2, seed=1)
    noisy = problems.sparse_regression(n=500, d=5, nonzeros=2, seed=1, noise=0.5)
    np.testing.assert_array_equal(clean.x_train, noisy.x_train)
    np.testing.assert_array_equal(clean.y_test, noisy.y_test)
    assert np.std(noisy.y_train - clean.y_train) == pytest.approx(0.5, rel=0.15)


def test_a_seed_is_the_data_of_the_paper():
    # NumPy's frozen generator: the first normal draws of seed 0.
    problem = problems.sparse_regression(n=80, d=200, nonzeros=20, seed=0)
    np.testing.assert_allclose(problem.x_train[0, :2], [1.76405235, 0.40015721])


def test_the_papers_teacher_gives_its_printed_targets():
    from largestep.experiments.andriushchenko2023.teacher_student.setting import problem

    printed = [0.9664, -0.5862, 0.4440, 0.9520, 0.8456, 0.6576, -1.0138, 0.7839]
    np.testing.assert_allclose(problem().y_train[:8], printed, atol=1e-4)


def test_the_seed_and_nothing_else_fixes_the_data():
    def arrays(seed):
        problem = problems.sparse_regression(n=10, d=30, nonzeros=4, seed=seed, noise=0.1)
        return [problem.x_train, problem.y_train, problem.x_test, problem.y_test, problem.truth]

    before = arrays(3)
    np.random.default_rng(0).standard_normal(100)
    for first, again, other in zip(before, arrays(3), arrays(4), strict=True):
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


def test_there_are_a_thousand_test_points_unless_asked_otherwise():
    assert problems.sparse_regression(n=4, d=3, nonzeros=1).x_test.shape == (1000, 3)
    assert problems.sparse_regression(n=4, d=3, nonzeros=1, test_points=7).y_test.shape == (7,)


def test_numbers_of_any_real_type_and_layout_become_float64():
    x = np.asfortranarray([[1, 2], [3, 4], [5, 6]])
    problem = Problem(x, [True, False, True], x[:1].astype(np.float32), np.ones(1), truth=[[1, 2]])
    for array in (problem.x_train, problem.y_train, problem.x_test, problem.y_test, problem.truth):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    np.testing.assert_array_equal(problem.x_train, x)
    assert problem.truth.shape == (1, 2)


def test_arrays_are_copies_that_cannot_be_written():
    x, y = np.ones((3, 2)), np.zeros(3)
    problem = Problem(x, y)
    x[0, 0] = 7
    assert problem.x_train[0, 0] == 1
    np.testing.assert_array_equal(problem.x_test, problem.x_train)
    with pytest.raises(ValueError, match="read-only"):
        problem.x_train[0, 0] = 2
    with pytest.raises(AttributeError):
        problem.y_train = y


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones(3), np.ones(3), "x_train must have 2 dimension"),
        (np.ones((3, 2)), np.ones(4), "as many rows, got 3 and 4"),
        (np.ones((0, 2)), np.ones(0), "must not be empty"),
        ([[1.0, 2.0], [3.0, np.nan]], [1.0, 2.0], r"x_train must be finite, got nan at .*\(1, 1\)"),
        ([[1.0], [2.0]], [1.0, -np.inf], r"y_train must be finite, got -inf at index \(1,\)"),
    ],
)
def test_unusable_arrays_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        Problem(np.array(x), np.array(y))


def test_test_points_and_truth_are_checked_as_training_points_are():
    x, y = np.ones((2, 2)), np.ones(2)
    with pytest.raises(ValueError, match=r"x_test must be finite, got inf at index \(0, 1\)"):
        Problem(x, y, [[1.0, np.inf]], [1.0])
    with pytest.raises(ValueError, match=r"y_test must be finite, got nan at index \(1,\)"):
        Problem(x, y, x, [1.0, np.nan])
    with pytest.raises(ValueError, match=r"truth must be finite, got nan at index \(0,\)"):
        Problem(x, y, truth=[np.nan, 1.0])
    with pytest.raises(ValueError, match="x_test and y_test must have as many rows, got 2 and 3"):
        Problem(x, y, x, np.ones(3))
    with pytest.raises(ValueError, match="x_test must not be empty"):
        Problem(x, y, np.ones((0, 2)), np.ones(0))


def test_text_and_complex_arrays_are_refused():
    with pytest.raises(TypeError, match="real numbers"):
        Problem(np.array([["a"]]), np.zeros(1))
    with pytest.raises(TypeError, match="real numbers"):
        Problem(np.ones((1, 1), dtype=complex), np.zeros(1))


def test_test_points_must_match_the_training_points():
    with pytest.raises(ValueError, match="both left out"):
        Problem(np.ones((3, 2)), np.ones(3), np.ones((3, 2)))
    with pytest.raises(ValueError, match="x_test must have 2 columns"):
        Problem(np.ones((3, 2)), np.ones(3), np.ones((3, 1)), np.ones(3))


@pytest.mark.parametrize(
    "settings",
    [
        {"n": 0},
        {"d": 0},
        {"nonzeros": 0},
        {"nonzeros": 9},
        {"noise": -1.0},
        {"noise": np.nan},
        {"test_points": 0},
        {"seed": -1},
    ],
)
def test_sizes_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        problems.sparse_regression(**{"n": 4, "d": 8, "nonzeros": 2, **settings})
    with pytest.raises(TypeError, match="n must be an integer"):
        problems.sparse_regression(n=2.5, d=8, nonzeros=2)


def test_a_teacher_gives_the_targets():
    teacher = networks.ReLU(widths=(3, 4))
    theta = teacher.initialize(np.random.default_rng(0))
    problem = problems.from_teacher(teacher, theta, n=7, seed=2, on_sphere=True, test_points=5)
    np.testing.assert_allclose(np.linalg.norm(problem.x_train, axis=1), 1.0)
    np.testing.assert_allclose(problem.y_test, teacher.predict(theta, problem.x_test))
    with pytest.raises(ValueError, match="theta must have 21 entries, got 3"):
        problems.from_teacher(teacher, np.ones(3), n=7)


def test_a_bent_line_on_the_sphere():
    problem = problems.sphere(n=30, d=10, seed=4, test_points=7)
    for x in (problem.x_train, problem.test_inputs):
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), np.sqrt(10))
    bent = np.tanh(problem.x_train @ problem.truth / np.sqrt(10))
    np.testing.assert_allclose(problem.y_train, bent - bent.mean())
    bent_there = np.tanh(problem.test_inputs @ problem.truth / np.sqrt(10))
    np.testing.assert_allclose(problem.y_test, bent_there - bent.mean())


def test_outliers_have_a_coordinate_that_says_nothing():
    problem = problems.opposing_outliers(n=50, d=6, size=4.0, seed=2, share=0.1, relevant=2)
    plain = problems.opposing_outliers(n=50, d=6, size=0.0, seed=2, share=0.1, relevant=2)
    assert problem.x_train[:6, 6].tolist() == [4.0, -4.0, 4.0, -4.0, 4.0, 0.0]
    assert not problem.x_train[5:, 6].any()
    assert not plain.x_train[:, 6].any()
    np.testing.assert_array_equal(problem.x_train[:, :6], plain.x_train[:, :6])
    np.testing.assert_array_equal(problem.y_train, plain.y_train)
    expected = np.tanh(2 * problem.x_train[:, :2].sum(axis=1) / np.sqrt(2))
    np.testing.assert_allclose(problem.y_train, expected)
    with pytest.raises(ValueError, match="relevant must be at most d = 6, got 7"):
        problems.opposing_outliers(n=50, d=6, size=4.0, relevant=7)


def test_clusters_lie_as_in_xor_and_some_labels_are_turned():
    problem = problems.xor_clusters(n=400, d=5, seed=1, norm=50.0, flipped=0.1)
    x, y = problem.x_train, problem.y_train
    on_first = np.abs(x[:, 0]) > np.abs(x[:, 1])
    right = np.where(on_first, 1.0, -1.0)
    assert (y[:40] == -right[:40]).all()
    assert (y[40:] == right[40:]).all()
    for coordinate, along in ((0, on_first), (1, ~on_first)):
        np.testing.assert_allclose(np.abs(x[along, coordinate]), 50.0, atol=5.0)
        assert 0.3 < np.mean(x[along, coordinate] > 0) < 0.7
    there = problem.test_inputs
    right = np.where(np.abs(there[:, 0]) > np.abs(there[:, 1]), 1.0, -1.0)
    np.testing.assert_array_equal(problem.y_test, right)
    with pytest.raises(ValueError, match="d must be at least 2, got 1"):
        problems.xor_clusters(n=10, d=1)


@pytest.mark.parametrize("make", [problems.sphere, problems.xor_clusters])
def test_a_seed_fixes_the_data_of_neighbouring_papers(make):
    first, again, other = make(20, 6, 3), make(20, 6, 3), make(20, 6, 4)
    np.testing.assert_array_equal(first.x_train, again.x_train)
    assert not np.array_equal(first.x_train, other.x_train)
