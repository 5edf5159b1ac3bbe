"""The shop and what runs it."""
