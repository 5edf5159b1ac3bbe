"""Trials of the whole shop: the simulation, and what it takes."""
