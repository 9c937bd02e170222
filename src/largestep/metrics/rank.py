"""How many directions the features still span: ranks of the Jacobian, coordinates that live."""

import ctypes
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_namespace
from numba.extending import get_cython_function_address

from largestep import _checks
from largestep.metrics._border import real

__all__ = ["effective_rank", "jacobian_rank", "nonzero_coordinates", "singular_values"]

Array = Any
"""A NumPy array or a PyTorch tensor, on any device; results stay in its library."""

LEAST_BY_SQUARES = 1e-5
"""Singular values above this share of the largest can be told by their squares, which cost a third:
those of a product of the matrix with itself."""
_SMALLEST_SQUARE = 1e-200
"""Of squares, lest they underflow."""


def singular_values(matrix: Array) -> Array:
    """Return the singular values, largest first and without vectors, of one matrix or a stack.

    Parameters
    ----------
    matrix : (…, n, p).

    Returns
    -------
    (…, min(n, p)) values.

    Raises
    ------
    TypeError
        If the numbers are complex.
    ValueError
        If the input has fewer than two dimensions, is empty, or holds NaN or infinity.
    """
    return _singular_values("matrix", matrix)


def jacobian_rank(jacobian: Array, relative_tolerance: float = 1e-4) -> Array:
    """Count the singular values above a share of the largest (the paper, section 2).

    Dead columns and linearly dependent ones lower it. Rounding alone gives a dead direction a
    singular value of some 1e-16 of the largest, so a tolerance below 1e-13 partly counts noise.

    Parameters
    ----------
    jacobian : (…, n, p) one Jacobian or a stack of them.
    relative_tolerance : the share of the largest singular value below which one counts as zero.

    Returns
    -------
    (…) ranks; 0 for a matrix of zeros. A Python int for a single Jacobian.

    Raises
    ------
    ValueError
        If the input has fewer than two dimensions, is empty, or holds NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> jacobian_rank(np.diag([1.0, 0.5, 1e-9]))
    2
    """
    tolerance = _checks.number("relative_tolerance", relative_tolerance, at_least=0.0, at_most=1.0)
    xp, jacobian = _checked("jacobian", jacobian)
    if is_numpy_namespace(xp):
        stack = jacobian.reshape(-1, *jacobian.shape[-2:])
        ranks = [_counted(one, np.array([tolerance]))[0] for one in stack]
        rank = np.reshape(ranks, jacobian.shape[:-2]).astype(np.int64)
    else:
        values = _decomposed("jacobian", xp, jacobian)
        rank = xp.sum(values > tolerance * values[..., :1], axis=-1)
    return int(rank) if rank.ndim == 0 else rank


def count_above(jacobian: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Count the singular values above each of some shares of the largest.

    Parameters
    ----------
    jacobian : (n, p).
    shares : (k,) in [0, 1].

    Raises
    ------
    ValueError
        If the Jacobian is empty, or holds NaN or infinity.
    """
    return _counted(_checked("jacobian", jacobian)[1], shares)


def _counted(jacobian: np.ndarray, shares: np.ndarray) -> np.ndarray:
    matrix = jacobian.astype(np.float64, copy=False)
    if shares.min() >= LEAST_BY_SQUARES:
        wide = matrix.shape[0] < matrix.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):
            gram = matrix @ matrix.T if wide else matrix.T @ matrix
            scale = np.trace(gram)
        if _SMALLEST_SQUARE < scale < 1.0 / _SMALLEST_SQUARE:
            squares = _lapack_eigenvalues(gram)
            bounds = shares[:, np.newaxis] ** 2 * squares[-1]
            # No rounding of the products and of LAPACK moves a square further than this.
            rounding = 8.0 * max(matrix.shape) * np.finfo(np.float64).eps * scale
            if (np.abs(squares - bounds) > rounding).all():
                return np.sum(squares > bounds, axis=1)
    values = _decomposed("jacobian", np, matrix)
    return np.sum(values > shares[:, np.newaxis] * values[0], axis=1)


def effective_rank(jacobian: Array) -> Array:
    """Return the exponential of the entropy of the normalised singular values.

    exp(−Σ p_i log p_i) with p_i = σ_i / Σσ: a rank without a threshold (Roy & Vetterli, 2007),
    between 1 and the rank; 0 for a matrix of zeros.

    Parameters
    ----------
    jacobian : (…, n, p) one matrix or a stack of them.

    Examples
    --------
    >>> import numpy as np
    >>> round(effective_rank(np.eye(3)), 6)
    3.0
    """
    values = _singular_values("jacobian", jacobian)
    xp = array_namespace(values)
    total = xp.sum(values, axis=-1, keepdims=True)
    share = values / xp.where(total > 0, total, xp.ones_like(total))
    entropy = -xp.sum(share * xp.log(xp.where(share > 0, share, xp.ones_like(share))), axis=-1)
    rank = xp.where(total[..., 0] > 0, xp.exp(entropy), xp.zeros_like(entropy))
    return float(rank) if rank.ndim == 0 else rank


def nonzero_coordinates(coefficients: Array, relative_tolerance: float = 1e-6) -> Array:
    """Count the coordinates of a predictor larger than a share of its largest.

    Parameters
    ----------
    coefficients : (…, d) one predictor (u ⊙ v for a diagonal network) or a stack of them.
    relative_tolerance : the share of the largest magnitude below which a coordinate is zero.

    Returns
    -------
    (…) counts; 0 for a predictor of zeros. A Python int for a single predictor.

    Raises
    ------
    ValueError
        If the input is empty, or holds NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> nonzero_coordinates(np.array([2.0, -1.0, 1e-9]))
    2
    """
    tolerance = _checks.number("relative_tolerance", relative_tolerance, at_least=0.0, at_most=1.0)
    xp, coefficients = real("coefficients", coefficients)
    size = xp.abs(coefficients)
    if size.ndim == 0 or size.shape[-1] == 0:
        raise ValueError(f"coefficients must not be empty, got shape {tuple(size.shape)}")
    if not bool(xp.all(xp.isfinite(size))):
        raise ValueError("coefficients must be finite, got NaN or infinity")
    count = xp.sum(size > tolerance * xp.max(size, axis=-1, keepdims=True), axis=-1)
    return int(count) if count.ndim == 0 else count


def _checked(name: str, matrix: Array) -> tuple[Any, Array]:
    xp, matrix = real(name, matrix)
    if matrix.ndim < 2 or 0 in matrix.shape:
        raise ValueError(
            f"{name} must have shape (…, n, p) with n, p > 0, got {tuple(matrix.shape)}"
        )
    if not bool(xp.all(xp.isfinite(matrix))):
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return xp, matrix


def _singular_values(name: str, matrix: Array) -> Array:
    return _decomposed(name, *_checked(name, matrix))


def _decomposed(name: str, xp: Any, matrix: Array) -> Array:
    if is_numpy_namespace(xp):
        stack = matrix.reshape(-1, *matrix.shape[-2:])
        values = np.stack([_lapack_singular_values(one) for one in stack])
        values = values.reshape(*matrix.shape[:-2], -1)
    else:
        values = xp.linalg.svdvals(matrix)
    if not bool(xp.all(xp.isfinite(values))):
        largest = float(xp.max(xp.abs(matrix)))
        raise ValueError(
            f"{name} must have singular values in the range of its numbers, got entries up to "
            f"{largest:g}"
        )
    return values


# NumPy and SciPy hold the GIL during a decomposition, so that threads would take turns at what is
# most of the work of a simulation that records ranks.


def _lapack_singular_values(matrix: np.ndarray) -> np.ndarray:
    """Return the singular values of a matrix, as numpy.linalg.svdvals but without the GIL."""
    rows, columns = matrix.shape
    # LAPACK overwrites its input; a C-contiguous copy is the transpose to it, whose singular
    # values are the same.
    work_on = np.array(matrix, dtype=np.float64, order="C")
    values = np.empty(min(rows, columns))
    integers = np.empty(8 * len(values), dtype=np.intc)
    query = np.empty(1)
    info = ctypes.c_int()

    def call(work: np.ndarray, size: int) -> None:
        _dgesdd(
            b"N",
            *(ctypes.byref(ctypes.c_int(k)) for k in (columns, rows)),
            work_on.ctypes.data,
            ctypes.byref(ctypes.c_int(columns)),
            values.ctypes.data,
            None,
            ctypes.byref(ctypes.c_int(1)),
            None,
            ctypes.byref(ctypes.c_int(1)),
            work.ctypes.data,
            ctypes.byref(ctypes.c_int(size)),
            integers.ctypes.data,
            ctypes.byref(info),
        )
        if info.value != 0:
            raise np.linalg.LinAlgError(f"singular values did not converge (info {info.value})")

    call(query, -1)
    call(np.empty(int(query[0])), int(query[0]))
    return values


def _lapack_eigenvalues(symmetric: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of a symmetric matrix, smallest first; overwrites the matrix."""
    n = len(symmetric)
    values, integers = np.empty(n), np.empty(1, dtype=np.intc)
    info = ctypes.c_int()
    # What LAPACK asks for at the least, and room to take 64 columns at once.
    work = np.empty(2 * n + 1 + 66 * n)
    _dsyevd(
        b"N",
        b"L",
        ctypes.byref(ctypes.c_int(n)),
        symmetric.ctypes.data,
        ctypes.byref(ctypes.c_int(n)),
        values.ctypes.data,
        work.ctypes.data,
        ctypes.byref(ctypes.c_int(len(work))),
        integers.ctypes.data,
        ctypes.byref(ctypes.c_int(1)),
        ctypes.byref(info),
    )
    if info.value != 0:
        raise np.linalg.LinAlgError(f"eigenvalues did not converge (info {info.value})")
    return values


def _lapack(name: str, texts: int, others: int) -> Any:
    """Return a function of LAPACK that takes so many texts, and then pointers."""
    kinds = [*[ctypes.c_char_p] * texts, *[ctypes.c_void_p] * others]
    address = get_cython_function_address("scipy.linalg.cython_lapack", name)
    return ctypes.CFUNCTYPE(None, *kinds)(address)


_dgesdd = _lapack("dgesdd", 1, 13)
_dsyevd = _lapack("dsyevd", 2, 9)
