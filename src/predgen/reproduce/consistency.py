"""What cannot be right among printed numbers, by arithmetic alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from predgen.reproduce.published import AVERAGE, Flag, PrintedCell

# Half a unit of the last digit that the averages of a table are rounded to.
_HALF_UNIT = {"accuracy": 0.005, "exact_match": 0.005, "mae": 0.0005, "mse": 0.0005}
_TIMES = 10  # a number so many times as large as all others of its kind is not believed

Finding = tuple[Flag, str]


def inconsistent(cells: Sequence[PrintedCell]) -> list[tuple[PrintedCell, Finding]]:
    """The cells that cannot be right, each with its flag and reason; their order is kept.

    Three rules. The mean of squares is never below the square of the mean, so that MSE ≥ MAE². An average is the mean
    of its row, up to rounding. And one number over ten times as large as all others of its table, method and task is
    taken for a slip.

    Args:
        cells: Of whole tables; their own flags are not read.
    """
    found: dict[int, Finding] = {}
    rows: dict[tuple[str, ...], list[int]] = defaultdict(list)
    kinds: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, cell in enumerate(cells):
        rows[(*cell.row, cell.metric)].append(place)
        kinds[cell.table, cell.method, cell.task, cell.metric].append(place)
    for places in kinds.values():
        found |= _outliers(cells, places)
    for places in rows.values():
        found |= _wrong_average(cells, places)
    found |= _impossible_pairs(cells)
    return [(cells[place], found[place]) for place in sorted(found)]


def _impossible_pairs(cells: Sequence[PrintedCell]) -> dict[int, Finding]:
    pairs: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for place, cell in enumerate(cells):
        if cell.metric in ("mae", "mse") and cell.task != AVERAGE:
            pairs[(*cell.row, cell.task)][cell.metric] = place
    found: dict[int, Finding] = {}
    for pair in pairs.values():
        mae, mse = cells[pair["mae"]], cells[pair["mse"]]
        if mse.value < mae.value**2:
            reason = f"as MAE/MSE, {mse.printed} is below {mae.printed}² = {mae.value**2:.3f}"
            found |= dict.fromkeys(pair.values(), ("pair", reason))
    return found


def _wrong_average(cells: Sequence[PrintedCell], places: Sequence[int]) -> dict[int, Finding]:
    values = [cells[place].value for place in places if cells[place].task != AVERAGE]
    at = next(place for place in places if cells[place].task == AVERAGE)
    mean = sum(values) / len(values)
    if abs(cells[at].value - mean) <= _HALF_UNIT[cells[at].metric] + 1e-9:
        return {}
    reason = f"the row's mean is {mean:.4g}"
    twin = next(
        (
            other
            for other in cells
            if other.task == AVERAGE
            and other.row[:3] == cells[at].row[:3]
            and other.row != cells[at].row
            and (other.metric, other.printed) == (cells[at].metric, cells[at].printed)
        ),
        None,
    )
    if twin is not None:
        reason += f"; it repeats the average of the {twin.method}"
    return {at: ("average", reason)}


def _outliers(cells: Sequence[PrintedCell], places: Sequence[int]) -> dict[int, Finding]:
    if cells[places[0]].task == AVERAGE:
        return {}
    found: dict[int, Finding] = {}
    for place in places:
        others = [cells[other].value for other in places if other != place]
        if others and cells[place].value > _TIMES * max(others):
            found[place] = ("outlier", f"all others of this method lie between {min(others):g} and {max(others):g}")
    return found
