"""How a service answers: what it accepts, how long it waits, what it writes down."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from predgen.errors import ConfigError

EXPLANATION_ROWS = 8  # an explanation costs about so many predictions of its row, and counts as many in the queue


@dataclass(frozen=True)
class Limits:
    """What a request may ask for; more is refused before the model sees any of it.

    Args:
        rows: Rows of a request.
        characters: Of one column's text.
        body_bytes: Of a request's body.
        queue: Rows that wait for the model, of all requests together.
        seconds: From a request's arrival to its reply, and for its body to arrive.

    Raises:
        ConfigError: If one is not above 0 and finite, or the queue is smaller than one request may be.
    """

    rows: int = 256
    characters: int = 20_000
    body_bytes: int = 4_000_000
    queue: int = 2048
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ConfigError(f"The limit {name}={value} is out of range.", "Expected a number above 0.")
        if self.queue < max(self.rows, EXPLANATION_ROWS):
            raise ConfigError(
                f"At most {self.queue} rows may wait, and one request may hold {self.rows}.",
                "The first such request could never be taken.",
                "Raise --max-queue, or lower --max-rows.",
            )


@dataclass(frozen=True)
class Settings:
    """A service's settings.

    Args:
        limits: What a request may ask for.
        max_batch: Most rows of a pass, of all requests together.
        max_wait: Seconds that a pass waits for the requests that came together with the last one's; nobody waits where
            requests come one after another.
        keys: One of them must come with a request; none: no key is asked for.
        hosts: Names under which the service may be called; none: any.
        log_texts: Whether rows are written to the log.

    Raises:
        ConfigError: If the batch is empty, or the wait negative.
    """

    limits: Limits = field(default_factory=Limits)
    max_batch: int = 32
    max_wait: float = 0.01
    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    log_texts: bool = False

    def __post_init__(self) -> None:
        if self.max_batch < 1:
            raise ConfigError(f"--max-batch {self.max_batch} is not above 0.")
        if not 0 <= self.max_wait < self.limits.seconds:
            raise ConfigError(
                f"--max-wait-ms {1000 * self.max_wait:g} is out of range.",
                f"Expected from 0 to less than the {self.limits.seconds:g} seconds that a request may take.",
            )
