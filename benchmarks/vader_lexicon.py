"""What the VADER lexicon itself reaches on the test rows of a run that was fitted on a vader-* data set.

    python benchmarks/vader_lexicon.py RUN

Its compound score lies in −1…1, so only correlations with the ratings are given, not errors.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from predgen.data.sources import read_table
from predgen.metrics import regression_metrics
from predgen.training.run_folder import SPLITS, read_json


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/vader_lexicon.py RUN")
    part = read_json(Path(sys.argv[1]), SPLITS)["test"]
    table = read_table(part["source"])
    if table.fingerprint != part["fingerprint"]:
        sys.exit(f"{part['source']} has changed since the run was fitted.")
    rows = [table.good_rows[number] for number in part["rows"]]
    analyzer = SentimentIntensityAnalyzer()
    scores = regression_metrics(
        [row["rating"] for row in rows], [analyzer.polarity_scores(row["text"])["compound"] for row in rows]
    )
    print(f"VADER lexicon, {len(rows)} test rows: Pearson {scores['pearson']:.4f}, Spearman {scores['spearman']:.4f}")


if __name__ == "__main__":
    main()
