"""Predictions on their way into a file, so that a run that is killed at any moment neither repeats nor loses a row.

predictions.jsonl.part        whole lines as far as it has come, and at most one cut short behind them
predictions.jsonl.part.json   what they are predictions of, and by what
predictions.jsonl             all of them; it appears at the end, at once
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from predgen.errors import PredgenError
from predgen.prediction import Prediction, RowError, to_json
from predgen.training.run_folder import write_json


class Journal:
    """Takes predictions in order, and keeps them as they come.

    Args:
        target: The file that is to hold all of them.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = target.with_name(target.name + ".part")
        self._facts = target.with_name(target.name + ".part.json")
        self.rows = 0
        self.errors = 0

    def start(self, facts: Mapping[str, str], resume: bool) -> int:
        """Begins, or goes on.

        Args:
            facts: What is predicted, and by what, under names a user understands.
            resume: Go on where an earlier run was stopped; with nothing to go on from it begins.

        Returns:
            How many rows are done.

        Raises:
            PredgenError: If there are unfinished predictions and `resume` is off, or they are of something else.
        """
        if not self._part.exists():
            write_json(self._facts, facts)
            self._part.touch()
            return 0
        if not resume:
            raise PredgenError(
                f"{self._part} holds the predictions of a run that did not end.",
                remedy=f"Go on with --resume, or remove {self._part} to begin anew.",
            )
        try:
            known = json.loads(self._facts.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise PredgenError(
                f"What {self._part} holds predictions of is not known: {problem}.", remedy=f"Remove {self._part}."
            ) from problem
        changed = [name for name in facts if facts[name] != known.get(name)]
        if changed:
            raise PredgenError(
                f"{self._part} holds predictions made otherwise; changed: {', '.join(changed)}.",
                remedy=f"Repeat the command that began it, or remove {self._part} to begin anew.",
            )
        self._read_again()
        return self.rows

    def begun(self) -> dict[str, str]:
        """The facts of a run that did not end, as far as they can be read; empty where there is none."""
        try:
            known = json.loads(self._facts.read_text(encoding="utf-8")) if self._part.exists() else {}
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def write(self, predictions: Iterable[Prediction]) -> None:
        """Adds predictions; when it returns they are on the disk."""
        lines = []
        for prediction in predictions:
            lines.append(json.dumps(to_json(prediction), ensure_ascii=False) + "\n")
            self.errors += isinstance(prediction, RowError)
        with self._part.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        self.rows += len(lines)

    def finish(self) -> None:
        """Gives the file its name."""
        self._part.replace(self._target)
        self._facts.unlink(missing_ok=True)

    def _read_again(self) -> None:
        """Counts whole lines, and cuts off one that was not written to its end."""
        end = 0
        with self._part.open("rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                self.rows += 1
                self.errors += b'"error": ' in line and "error" in json.loads(line)
            file.truncate(end)
