"""The web dashboard, for managers."""
