"""Speed compared with other ways to the same result: ``nox -s bench``."""
