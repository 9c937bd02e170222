"""What ails a training: rules over what a probe has recorded. It needs no PyTorch.

A rule is a line of the table `RULES`: what it is called, the quantities it needs, the measures
that record them, its threshold, a function from the dataset to the evidence, and what to say and
to try. The thresholds are rules of thumb, chosen on trainings of three small networks on digits;
the page "The doctor" has how often they are right.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from largestep import _checks, _files

__all__ = ["RULES", "Diagnosis", "Evidence", "Finding", "Rule", "Unjudged", "diagnose", "read"]

_LOSSES = 20
"""Losses that are needed to say anything of their course."""


class _CannotTellError(Exception):
    """What is recorded does not tell."""


@dataclass(frozen=True)
class Evidence:
    """A number beyond a threshold.

    Attributes
    ----------
    value : the number.
    step : where it was measured.
    where : the layer, if it is one's.
    """

    value: float
    step: int
    where: str = ""


@dataclass(frozen=True)
class Rule:
    """How to find one thing that may be wrong.

    Attributes
    ----------
    name : of what is wrong.
    needs : the variables of the dataset that it is told from.
    recorded_by : what to give the probe for them.
    threshold : beyond which it is a finding.
    judge : the evidence in a dataset, given the threshold.
    says : a sentence about the evidence, with its {value}, {step}, {where} and the {threshold}.
    advice : what to try.
    """

    name: str
    needs: tuple[str, ...]
    recorded_by: str
    threshold: float
    judge: Callable[[xr.Dataset, float], Iterator[Evidence]]
    says: str
    advice: str


@dataclass(frozen=True)
class Finding:
    """Something that may be wrong.

    Attributes
    ----------
    name : of the rule.
    where : the layer, if it is one's; otherwise empty.
    value, threshold, step : the evidence.
    text : the finding as a sentence.
    advice : what to try.
    """

    name: str
    where: str
    value: float
    threshold: float
    step: int
    text: str
    advice: str


@dataclass(frozen=True)
class Unjudged:
    """A rule that could not be applied, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Diagnosis:
    """What was found, what was looked for in vain, and what could not be judged.

    ``print`` gives it as text.

    Attributes
    ----------
    steps : of the training.
    findings : in the order of the rules; of one rule, the worst layer first.
    clear : the rules that found nothing.
    unjudged : the rules that could not be applied.
    """

    steps: int
    findings: tuple[Finding, ...]
    clear: tuple[str, ...]
    unjudged: tuple[Unjudged, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it: numbers that are not finite as text."""
        found = asdict(self)
        for finding in found["findings"]:
            if not np.isfinite(finding["value"]):
                finding["value"] = str(finding["value"])
        return found

    def __str__(self) -> str:
        count = len(self.findings)
        found = f"{count} finding{'s' * (count != 1)}" if count else "Nothing found"
        lines = [f"{found} in {self.steps} steps."]
        for finding in self.findings:
            lines += ["", f"{finding.name}: {finding.text}", f"  Try: {finding.advice}"]
        if self.clear:
            lines += ["", f"Looked for and not found: {', '.join(self.clear)}."]
        if self.unjudged:
            lines += ["", "Not judged:"]
            lines += [f"  {unjudged.name}: {unjudged.reason}" for unjudged in self.unjudged]
        return "\n".join(lines)


def diagnose(dataset: xr.Dataset) -> Diagnosis:
    """Apply every rule to what a probe has recorded.

    Parameters
    ----------
    dataset : as `deep.Probe.dataset` returns it.

    Raises
    ------
    TypeError, ValueError
        If it is no dataset of a probe.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> steps = np.arange(1, 201)
    >>> loss = ("loss_step", np.exp(-steps / 50))
    >>> dataset = xr.Dataset({"train_loss": loss}, {"loss_step": steps, "step": [0]})
    >>> found = diagnose(dataset)
    >>> found.findings, found.clear
    ((), ('diverging', 'loss burst', 'loss not falling'))
    >>> found.unjudged[0].reason
    'batch_sharpness and edge are not recorded: BatchSharpness() and StepSize(optimizer) do'
    """
    _checks.kind("dataset", dataset, xr.Dataset)
    if "train_loss" not in dataset or not {"step", "loss_step"} <= set(dataset.coords):
        raise ValueError(
            "dataset must be one of a deep.Probe, with train_loss and step, got variables "
            f"{', '.join(map(str, dataset.variables)) or 'none'}"
        )
    steps = int(np.concatenate([[0], dataset.loss_step.values, dataset.step.values]).max())
    findings: list[Finding] = []
    clear, unjudged = [], []
    for rule in RULES:
        try:
            evidence = _apply(rule, dataset)
        except _CannotTellError as reason:
            unjudged.append(Unjudged(rule.name, str(reason)))
            continue
        findings += (_finding(rule, one) for one in evidence)
        if not evidence:
            clear.append(rule.name)
    return Diagnosis(steps, tuple(findings), tuple(clear), tuple(unjudged))


def read(path: str | Path) -> xr.Dataset:
    """Read the file that `deep.Probe.save` wrote.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is no NetCDF file.
    """
    path = Path(path)
    content = _files.read_bytes(path)
    try:
        with xr.open_dataset(BytesIO(content), engine="h5netcdf") as dataset:
            return dataset.load()
    except Exception as error:  # of the many that HDF5 raises for what is damaged
        raise ValueError(f"{path} is no file of a probe, written by Probe.save: {error}") from error


def _apply(rule: Rule, dataset: xr.Dataset) -> list[Evidence]:
    missing = [name for name in rule.needs if name not in dataset]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        do = "does" if " and " not in rule.recorded_by else "do"
        raise _CannotTellError(
            f"{' and '.join(missing)} {verb} not recorded: {rule.recorded_by} {do}"
        )
    return list(rule.judge(dataset, rule.threshold))


def _finding(rule: Rule, one: Evidence) -> Finding:
    numbers = {"value": one.value, "threshold": rule.threshold, "step": one.step}
    text = rule.says.format(where=one.where, **numbers)
    return Finding(rule.name, one.where, one.value, rule.threshold, one.step, text, rule.advice)


def _level(dataset: xr.Dataset, step: int | None = None) -> float:
    """Return the median loss around a step, over a twentieth of training; by default at the end."""
    losses, steps = dataset.train_loss.values, dataset.loss_step.values
    if len(losses) < _LOSSES:
        raise _CannotTellError(
            f"{len(losses)} losses are recorded, {_LOSSES} are needed: give them to "
            "probe.step(loss)"
        )
    window = max(5, len(losses) // 20)
    at = len(steps) if step is None else int(np.searchsorted(steps, step))
    first = min(max(at - window // 2, 0), len(losses) - window)
    return float(np.median(losses[first : first + window]))


def _fallen(dataset: xr.Dataset, step: int | None = None) -> float:
    """Return the level of the loss at a step, as a share of that of the start."""
    level = _level(dataset, step)  # says if there are too few
    start = float(np.median(dataset.train_loss.values[:5]))
    return level / start if start > 0 else np.nan


def _diverging(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    ratio = _fallen(dataset)
    finite = np.isfinite(dataset.train_loss.values)
    if not finite.all():
        yield Evidence(np.inf, int(dataset.loss_step.values[~finite][0]))
    elif ratio > threshold:
        yield Evidence(ratio, int(dataset.loss_step.values[-1]))


def _burst(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    losses = dataset.train_loss.where(np.isfinite(dataset.train_loss)).dropna("loss_step")
    _level(dataset)  # says if there are too few
    start = float(losses[:5].median())
    if losses.size and start > 0 and float(losses.max()) > threshold * start:
        peak = losses[int(np.argmax(losses.values))]
        yield Evidence(float(peak) / start, int(peak.loss_step))


def _not_falling(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    ratio = _fallen(dataset)
    if threshold < ratio <= _RISEN:
        yield Evidence(ratio, int(dataset.loss_step.values[-1]))


def _kappa(dataset: xr.Dataset) -> xr.DataArray:
    """Return κ by step where it is known, in units in which 2 is the edge."""
    kappa = (2 * dataset.batch_sharpness / dataset.edge).dropna("step")
    if not kappa.size:
        raise _CannotTellError(
            "κ is nowhere finite: the optimizer has no one edge of stability, as Adam has none, or "
            "training diverged"
        )
    return kappa


def _too_large(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    kappa = _kappa(dataset)
    later = kappa[len(kappa) // 2 :]
    if float(later.median()) > threshold:
        yield Evidence(float(later.median()), int(later.step.values[-1]))


def _too_small(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    kappa = _kappa(dataset)
    most = float(np.abs(kappa).max())
    if most < threshold and _fallen(dataset) > _FAR:
        yield Evidence(most, int(kappa.step.values[-1]))


def _batch(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    noise = dataset.noise_scale.dropna("step")
    learning = [s for s in noise.step.values if s == 0 or _fallen(dataset, s) > _FAR]
    scale = float(noise.sel(step=learning).median()) if learning else np.nan
    if np.isnan(scale):
        raise _CannotTellError("the noise scale is nowhere known")
    size = float(dataset.batch_size.dropna("step")[-1])
    if scale < size * threshold:
        yield Evidence(scale / size, int(learning[-1]))


def _noisy_labels(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    shares = dataset.unlearned.dropna("step")
    learnt = [s for s in shares.step.values if s > 0 and _fallen(dataset, s) < _LEARNT]
    if not learnt:
        raise _CannotTellError(
            f"the training loss has not fallen below {_LEARNT:.0%} of its start where it was "
            "measured: nothing is learnt yet"
        )
    share = float(shares.sel(step=learnt).median())
    if share > threshold:
        yield Evidence(share, int(learnt[-1]))


def _test_rising(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    errors = dataset.test_error.dropna("step")
    if errors.size < 3:
        raise _CannotTellError(
            f"three measurements of the test error are needed, got {errors.size}"
        )
    rise = float(errors[-2:].min() - errors.min())
    if rise > threshold:
        yield Evidence(rise, int(errors.step.values[-1]))


def _ends(dataset: xr.Dataset, *names: str) -> xr.Dataset:
    """Return the last measurement of the layers at which one of them was finite."""
    known = dataset[names[0]].notnull().any("layer").values
    if not known.any():
        raise _CannotTellError("no layer was ever finite")
    return dataset[list(names)].isel(step=np.flatnonzero(known)[-1])


def _over(values: xr.DataArray, threshold: float, *, below: bool = False) -> Iterator[Evidence]:
    """Give the layers beyond a threshold, the worst first."""
    sign = -1.0 if below else 1.0
    worst = values[np.argsort(-sign * values.values, kind="stable")]
    for layer, value in zip(worst.layer.values, worst.values, strict=True):
        if sign * value > sign * threshold:
            yield Evidence(float(value), int(values.step), str(layer))


def _dead(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    last = _ends(dataset, "dead", "units")
    yield from _over(last.dead / last.units, threshold)


def _duplicate(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    last = _ends(dataset, "merged", "units")
    yield from _over(last.merged / last.units, threshold)


def _collapsing(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    last = _ends(dataset, "merged", "dead", "units")
    yield from _over(1 - (last.merged + last.dead) / last.units, threshold, below=True)


def _exploding(dataset: xr.Dataset, threshold: float) -> Iterator[Evidence]:
    last = _ends(dataset, "activation_size").activation_size
    if last.size < 2:
        raise _CannotTellError("one layer is recorded, two are needed to compare them")
    with np.errstate(divide="ignore", invalid="ignore"):
        beside = last / np.concatenate([last.values[1:2], last.values[:-1]])
    # Beside a dead layer every other is infinitely large.
    yield from _over(beside.where(np.isfinite(beside), 0.0), threshold)


_RISEN = 2.0
"""Times the start, beyond which a loss diverges."""
_FAR, _LEARNT = 0.5, 0.8
"""Shares of the start's loss: above the first there is far to go, below the second it fell."""

RULES = (
    Rule(
        "diverging",
        ("train_loss",),
        "probe.step(loss)",
        _RISEN,
        _diverging,
        "the training loss is {value:.3g} times that of the start (step {step}; above "
        "{threshold:g}).",
        "a smaller step size, a warm-up, or clipping the gradient; then look for exploding layers.",
    ),
    Rule(
        "loss burst",
        ("train_loss",),
        "probe.step(loss)",
        3.0,
        _burst,
        "the training loss once was {value:.3g} times that of the start (step {step}; above "
        "{threshold:g}).",
        "a smaller step size at first, a warm-up, or clipping the gradient; see what it has left "
        "dead.",
    ),
    Rule(
        "loss not falling",
        ("train_loss",),
        "probe.step(loss)",
        0.95,
        _not_falling,
        "at the end the training loss is {value:.1%} of that of the start (step {step}; above "
        "{threshold:.0%}).",
        "look for dead layers and at the step size; fit a single batch first.",
    ),
    Rule(
        "step too large",
        ("batch_sharpness", "edge"),
        "BatchSharpness() and StepSize(optimizer)",
        4.0,
        _too_large,
        "κ, the step size times the batch sharpness, is {value:.3g} in the second half (until step "
        "{step}; above {threshold:g}, where 2 is the edge of stability).",
        "a step size smaller by κ/2, a decay, or a controller such as deep.HoldEdge.",
    ),
    Rule(
        "step too small",
        ("batch_sharpness", "edge", "train_loss"),
        "BatchSharpness() and StepSize(optimizer)",
        0.01,
        _too_small,
        "κ, the step size times the batch sharpness, never exceeds {value:.2g} (until step {step}; "
        "below {threshold:g}), and the loss is still above half of its start.",
        "a step size ten times as large.",
    ),
    Rule(
        "batch too large",
        ("noise_scale", "batch_size"),
        "GradientNoise()",
        0.25,
        _batch,
        "while the loss was above half of its start, the gradient's noise scale was {value:.2g} "
        "batches (until step {step}; below {threshold:g}).",
        "smaller batches and as many more steps, at first; the noise scale grows as the loss "
        "falls.",
    ),
    Rule(
        "label noise",
        ("unlearned", "train_loss"),
        "Opposition()",
        0.2,
        _noisy_labels,
        "{value:.0%} of the examples have a larger loss than at the start, though the mean has "
        "fallen (until step {step}; above {threshold:.0%}).",
        "look at the labels of the examples of largest loss; stop before they are learnt by heart.",
    ),
    Rule(
        "test error rising",
        ("test_error",),
        'Errors("test", test_loader)',
        0.05,
        _test_rising,
        "the last two test errors are {value:.1%} or more above the least (step {step}; above "
        "{threshold:.0%}).",
        "the checkpoint of the least test error; more regularisation, or a larger step size.",
    ),
    Rule(
        "dead units",
        ("dead", "units"),
        "Sparsity()",
        0.5,
        _dead,
        "layer {where}: {value:.0%} of the units are dead (step {step}; above {threshold:.0%}).",
        "a smaller step size or a warm-up, other biases or a normalisation before the layer; if "
        "training goes well without these units, deep.compact removes them.",
    ),
    Rule(
        "duplicate units",
        ("merged", "units"),
        "Sparsity()",
        0.5,
        _duplicate,
        "layer {where}: {value:.0%} of the units duplicate others (step {step}; above "
        "{threshold:.0%}).",
        "nothing, if the test error is good: deep.compact merges them; otherwise another "
        "initialisation, as units that start alike stay so.",
    ),
    Rule(
        "collapse near",
        ("dead", "merged", "units"),
        "Sparsity()",
        0.1,
        _collapsing,
        "layer {where}: {value:.0%} of the units are left that are neither dead nor duplicates "
        "(step {step}; below {threshold:.0%}).",
        "a smaller step size or an earlier decay: past this the network answers every input alike.",
    ),
    Rule(
        "exploding layer",
        ("activation_size",),
        "Activity()",
        8.0,
        _exploding,
        "layer {where}: its activations are {value:.3g} times as large as those of the layer "
        "before it (of the first, the layer after; step {step}; above {threshold:g}).",
        "another initialisation or a normalisation of that layer, weight decay, a smaller step "
        "size.",
    ),
)
"""The rules, in the order in which findings are told."""
