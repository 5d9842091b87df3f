"""The report's sections, one a file: what was measured → what the page shows of it."""
