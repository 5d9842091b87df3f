from __future__ import annotations

import pytest

from predgen.errors import ConfigError
from predgen.training.estimate import Estimate, seconds_of
from predgen.training.passes import Division


def test_times_as_people_write_them() -> None:
    assert [seconds_of(text) for text in ("90s", "30m", "2h", "1h30m", " 1m5s ")] == [90, 1800, 7200, 5400, 65]
    for text in ("", "soon", "30", "m30", "0m", "1.5h"):
        with pytest.raises(ConfigError, match="is no time"):
            seconds_of(text)


def test_steps_that_fit_by_hand() -> None:
    estimate = Estimate(step_seconds=2.0, dev_seconds=10.0, peak_bytes=3 * 2**30, longest=77, division=Division(8, 8))
    # 90% of 100 s, less two evaluations
    assert estimate.steps_within(100, evaluations=2) == 35
    assert estimate.steps_within(10, evaluations=2) == 0
    assert estimate.seconds(35, 2) == 90
    line = estimate.line(100, 4)
    assert "4 min for 100 steps (2 s each) and 4 evaluations (10 s each)" in line
    assert "77 tokens a prompt" in line and "3.0 GiB" in line
