"""What the paper and others have printed, as CSV files; `predgen.reproduce.published` reads them."""

from __future__ import annotations
