"""The console's screens: the floor, and what opens above it."""
