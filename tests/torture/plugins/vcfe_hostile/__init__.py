"""Plug-ins that break one rule at a time, or try to harm their neighbours."""
