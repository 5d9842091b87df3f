"""Table 3 of the paper: hyper-parameters per data set. It has no row for SST-2 and the arithmetic sets."""

from __future__ import annotations

from predgen.data.tasks.task import Preset

CLEAR = Preset(2e-3, 3, 4, 25, 200, "cosine", 500)
HUMICROEDIT = Preset(2e-3, 6, 4, 10, 200, "cosine", 500)
LCP = Preset(2e-3, 1, 5, 10, 200, "cosine", 500)
SICK = Preset(2e-3, 6, 4, 10, 200, "cosine", 500)
STSB = Preset(2e-3, 5, 4, 20, 200, "cosine", 500)
WASSA = Preset(2e-3, 5, 4, 10, 200, "cosine", 500)
# BoolQ, SIQA, ARC-e and ARC-c
CHOICE = Preset(2e-3, 10, 3, 10, 500, "cosine", 500)
# PIQA, HellaSwag, WinoGrande and OBQA
CHOICE_LONG = Preset(2e-3, 10, 3, 10, 500, "cosine", 1000)
