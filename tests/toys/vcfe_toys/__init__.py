"""A small third-party distribution: real plug-ins of every kind that run in milliseconds."""
