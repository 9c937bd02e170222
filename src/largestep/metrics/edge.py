"""How close a minimum is to the edge of stability."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh

from largestep import _checks

__all__ = ["Stability", "coherence", "critical_step_size", "stability"]


@dataclass(frozen=True)
class Stability:
    """How close a minimum is to the edge of stability: above 1 it can't be stable.

    Attributes
    ----------
    gradient_descent : η λ_max / 2.
    sgd : η/2 · (tr H / B + (1 − 1/B) ‖H‖_F² / tr H).
    """

    gradient_descent: float
    sgd: float


def stability(
    step_size: float,
    *,
    sharpness: float,
    trace: float,
    frobenius_norm: float,
    batch_size: int = 1,
) -> Stability:
    """Hold a minimum's curvature against the bounds that the step size puts on it.

    - **Gradient descent** is linearly stable only if λ_max ≤ 2/η. Networks trained by it hover
      there, at the edge of stability [1].
    - **SGD** with batches of one is stable in mean square [2] only if tr H ≤ 2/η [3], for the
      squared loss ½r² and where all examples are fitted, with H = (1/n) Σ φ_i φ_iᵀ. The same
      argument for batches of B, drawn with replacement: a step maps the second moment Σ of the
      deviations to Σ − η(HΣ + ΣH) + η²((1/B) E[φφᵀΣφφᵀ] + (1 − 1/B) HΣH). That map is
      self-adjoint, so its largest eigenvalue is at least ⟨P, mapped P⟩/⟨P, P⟩ for P the projector
      on the range of H; with E‖φ‖⁴ ≥ (tr H)² this exceeds 1 if
      (1/B)(tr H)² + (1 − 1/B)‖H‖_F² > (2/η) tr H.

    The bounds are necessary, not sufficient. For other losses and away from a fit they are a
    heuristic; take the Gauss–Newton matrix then.

    Parameters
    ----------
    step_size : η.
    sharpness, trace, frobenius_norm : λ_max, tr H and ‖H‖_F; NaN gives NaN.
    batch_size : B.

    Raises
    ------
    TypeError, ValueError
        If one of them is no number, the step size not positive, or B no positive integer.

    References
    ----------
    1. J. Cohen, S. Kaur, Y. Li, J. Z. Kolter and A. Talwalkar, "Gradient descent on neural
       networks typically occurs at the edge of stability", ICLR 2021.
    2. L. Wu, C. Ma and W. E, "How SGD selects the global minima in over-parameterized
       learning: a dynamical stability perspective", NeurIPS 2018.
    3. L. Wu and W. J. Su, "The implicit regularization of dynamical stability in stochastic
       gradient descent", ICML 2023.

    Examples
    --------
    >>> stability(0.1, sharpness=10.0, trace=30.0, frobenius_norm=15.0)
    Stability(gradient_descent=0.5, sgd=1.5)
    """
    step_size = _checks.number("step_size", step_size, above=0.0)
    batch_size = _checks.integer("batch_size", batch_size, at_least=1)
    sharpness, trace, frobenius_norm = (
        _measured(name, value)
        for name, value in (
            ("sharpness", sharpness),
            ("trace", trace),
            ("frobenius_norm", frobenius_norm),
        )
    )
    noise = trace / batch_size
    if batch_size > 1 and trace != 0.0:
        noise += (1 - 1 / batch_size) * frobenius_norm * (frobenius_norm / trace)
    return Stability(float(step_size * sharpness / 2), float(step_size * noise / 2))


def critical_step_size(rows: Float[np.ndarray, "n p"], batch_size: int = 1) -> float:
    """Return the step size at which SGD loses mean-square stability at a minimum, exactly.

    Near a minimum that fits all n examples SGD is linear: θ ← θ − (η/B) Σ_{i∈B} φ_i φ_iᵀ θ, with
    φ_i the rows and the batch drawn with replacement. The second moment Σ of θ moves by
    Σ ← Σ − η(HΣ + ΣH) + η² 𝒯(Σ), with H = (1/n) Σ φ_i φ_iᵀ and
    𝒯(Σ) = (1/B) (1/n) Σ_i φ_i φ_iᵀ Σ φ_i φ_iᵀ + (1 − 1/B) HΣH. It grows just where
    η > 1/ρ, with ρ the largest eigenvalue of 𝒯 relative to Σ ↦ HΣ + ΣH, both of which are
    self-adjoint. Found by Lanczos' iteration, without storing either: some dozens of products of
    n r² operations, r the rank of the rows.

    For B = 1 it is at most 2/tr H and as a rule close to it; it grows with B almost in proportion
    and then saturates at 2/λ_max, the threshold of gradient descent: see `stability`.

    Parameters
    ----------
    rows : (n, p) φ_i = √ℓ''_i · ∇h(x_i): for the loss r²/2 the rows of the Jacobian.
    batch_size : B.

    Returns
    -------
    η_c; infinite if all rows are zero.

    Raises
    ------
    TypeError, ValueError
        If the rows are no finite matrix of real numbers, or B is not a positive integer.

    References
    ----------
    L. Wu, C. Ma and W. E, "How SGD selects the global minima in over-parameterized learning: a
    dynamical stability perspective", NeurIPS 2018: the criterion. The way to its threshold is
    largestep's own.

    Examples
    --------
    >>> round(critical_step_size(np.array([[1.0, 0.0], [0.0, 2.0]])), 6)  # two separate examples
    0.5
    """
    rows = _rows(rows)
    share = 1.0 / _checks.integer("batch_size", batch_size, at_least=1)
    _, singular, axes = np.linalg.svd(rows, full_matrices=False)
    kept = singular > np.finfo(np.float64).eps * max(rows.shape) * singular[0]
    if not kept.any():
        return float("inf")
    # In the basis of H, scaled so that its largest eigenvalue is 1: no square overflows.
    phi = (rows / singular[0]) @ axes[kept].T * np.sqrt(len(rows))
    h = (singular[kept] / singular[0]) ** 2
    halves = np.sqrt(h[:, np.newaxis] + h)

    def relative(moment: np.ndarray) -> np.ndarray:
        moment = moment.reshape(halves.shape) / halves
        along = np.einsum("ij,ij->i", phi @ moment, phi)
        mapped = share * (phi.T * along) @ phi / len(phi)
        mapped += (1.0 - share) * h[:, np.newaxis] * moment * h
        return (mapped / halves).ravel()

    # A multiple of the identity before it is scaled: never orthogonal to what is sought.
    start = np.diag(np.diag(halves)).ravel()
    if h.size == 1:
        largest = relative(np.ones(1))[0]
    else:
        shape = (h.size**2,) * 2
        make: Any = LinearOperator
        operator = make(shape, matvec=relative, dtype=np.float64)
        (largest,) = eigsh(  # type: ignore[no-untyped-call]
            operator, k=1, which="LA", v0=start, tol=1e-10, return_eigenvectors=False
        )
    return float(len(rows) / singular[0] ** 2 / largest)


def coherence(rows: Float[np.ndarray, "n p"]) -> float:
    """Return how far the examples share their directions: λ_1(S)/max_i ‖φ_i‖², S_ij = |⟨φ_i, φ_j⟩|.

    Between 1, all rows orthogonal, and n, all equal (Dexter et al., 2024).

    Parameters
    ----------
    rows : (n, p) as in `critical_step_size`.

    Returns
    -------
    NaN if all rows are zero.
    """
    rows = _rows(rows)
    size = np.abs(rows).max()
    if size == 0.0:
        return float("nan")
    rows = rows / size  # no product overflows
    gram = np.abs(rows @ rows.T)
    return float(np.linalg.eigvalsh(gram)[-1] / gram.diagonal().max())


def _measured(name: str, value: float) -> float:
    """Return a number that may be NaN or infinite, as what is measured may be."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {_checks.shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must be finite, got {_checks.shown(value)}") from None


def _rows(rows: np.ndarray) -> np.ndarray:
    rows = _checks.array("rows", rows, dimensions=2)
    if rows.size == 0:
        raise ValueError(f"rows must hold at least one row and column, got shape {rows.shape}")
    return rows
