"""`predgen report`: one self-contained HTML page about a run, made of sections, each a small file in `sections`."""
