"""Trials of the whole: the seeded simulation and chaos."""
