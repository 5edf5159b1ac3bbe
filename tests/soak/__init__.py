"""Trials too long for every push: `make soak` runs them, each may be broken off and goes on where it was."""
