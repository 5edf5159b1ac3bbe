"""Simulated shoppers, the stories of the demo, and the import of past orders."""
