"""What was measured, by step: the one place where it becomes a dataset."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from largestep.deep.measures.base import Quantity, Values

__all__ = ["Record"]


class Record:
    """Numbers by step and quantity; a quantity not measured at a step is NaN there.

    Parameters
    ----------
    quantities : what is recorded, by name.
    """

    def __init__(self, quantities: Mapping[str, Quantity]) -> None:
        self.quantities = dict(quantities)
        self._rows: dict[int, dict[str, Any]] = {}

    def add(self, step: int, values: Values) -> None:
        """Add what was measured at a step.

        Raises
        ------
        TypeError, ValueError
            If a quantity is unknown, or its values are not numbers of the shape it promises.
        """
        unknown = set(values) - set(self.quantities)
        if unknown:
            raise ValueError(
                f"a measure must give what it promises, {', '.join(self.quantities)}, got "
                f"{', '.join(sorted(map(str, unknown)))}"
            )
        checked = {name: _checked(name, self.quantities[name], v) for name, v in values.items()}
        self._rows.setdefault(step, {}).update(checked)

    @property
    def steps(self) -> list[int]:
        """The steps at which something was measured."""
        return list(self._rows)

    def scalars(self, step: int) -> dict[str, float]:
        """Return what loggers hear of a step, with names such as distinct/stage2."""
        scalars: dict[str, float] = {}
        for name, value in self._rows[step].items():
            if not self.quantities[name].logged:
                continue
            if isinstance(value, dict):
                scalars |= {f"{name}/{entry}": number for entry, number in value.items()}
            else:
                scalars[name] = value
        return scalars

    def dataset(self, steps: Sequence[int] | None = None) -> xr.Dataset:
        """Return a dataset along `step` and the dimensions of the quantities.

        Parameters
        ----------
        steps : those it is to hold; by default those at which something was measured.
        """
        steps = self.steps if steps is None else steps
        rows = [self._rows.get(int(step), {}) for step in steps]
        # The entries of a dimension in the order in which they were first met.
        entries: dict[str, list[str]] = {
            q.along: [] for q in self.quantities.values() if q.along is not None
        }
        for row in self._rows.values():
            for name, value in row.items():
                along = self.quantities[name].along
                if along is not None:
                    entries[along] = list(dict.fromkeys([*entries[along], *value]))
        data: dict[str, Any] = {}
        for name, quantity in self.quantities.items():
            attributes = {"long_name": quantity.long_name, "units": "1"}
            if quantity.along is None:
                values = np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
                data[name] = ("step", values, attributes)
                continue
            names = entries[quantity.along]
            table = [[row.get(name, {}).get(entry, np.nan) for entry in names] for row in rows]
            shaped = np.array(table, dtype=np.float64).reshape(len(rows), len(names))
            data[name] = (("step", quantity.along), shaped, attributes)
        coordinates: dict[str, Any] = {
            along: np.array(names, dtype=str if names else object)
            for along, names in entries.items()
        }
        return xr.Dataset(data, coords={"step": np.array(steps, dtype=np.int64), **coordinates})

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers, as JSON can hold them."""
        return {
            str(step): {k: dict(v) if isinstance(v, dict) else v for k, v in row.items()}
            for step, row in self._rows.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._rows = {}
        for step, row in state.items():
            self.add(int(step), row)


def together(measures: Iterable[tuple[str, Mapping[str, Quantity]]]) -> dict[str, Quantity]:
    """Return the quantities of several measures in one.

    Parameters
    ----------
    measures : their names and what they give.

    Raises
    ------
    ValueError
        If two give something under the same name.
    """
    found: dict[str, Quantity] = {}
    owners: dict[str, str] = {}
    for owner, quantities in measures:
        for name, quantity in quantities.items():
            if name in found:
                raise ValueError(
                    f"measures must give things of different names, got {name!r} from "
                    f"{owners[name]} and from {owner}"
                )
            found[name], owners[name] = quantity, owner
    return found


def _checked(name: str, quantity: Quantity, value: Any) -> Any:
    if quantity.along is None:
        return _number(name, value)
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be given for each {quantity.along}, as a dictionary, got {value!r}"
        )
    return {str(entry): _number(name, number) for entry, number in value.items()}


def _number(name: str, value: Any) -> float:
    try:
        if value is None:  # which NumPy takes for NaN
            raise TypeError
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if array.shape:
        raise ValueError(f"{name} must be a single number, got an array of shape {array.shape}")
    return float(array)
