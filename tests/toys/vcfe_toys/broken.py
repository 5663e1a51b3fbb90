"""A plug-in whose requirement is not installed."""

import a_package_that_is_not_installed  # noqa: F401


class Broken:
    pass
