"""The report of runs as a page for a browser."""
