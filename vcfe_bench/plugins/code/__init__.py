"""Source code as what it computes: parsed, stripped, its names resolved, spelled out; see ``plugins.source``."""
