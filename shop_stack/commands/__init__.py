"""The commands of `shopfloor`: one module each, with its arguments and what it does."""
