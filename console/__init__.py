"""The terminal console, for operators."""
