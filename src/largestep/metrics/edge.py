"""How close a minimum is to the edge of stability."""

from dataclasses import dataclass

from largestep import _checks

__all__ = ["Stability", "stability"]


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
    noise = trace / batch_size
    if batch_size > 1 and trace != 0.0:
        noise += (1 - 1 / batch_size) * frobenius_norm**2 / trace
    return Stability(float(step_size * sharpness / 2), float(step_size * noise / 2))
