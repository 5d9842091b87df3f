"""Types that the report's modules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
MetricsOf = Callable[[Indices], Mapping[str, float]]  # of any choice of the rows, repeats included
