"""The payment provider's stand-in: an outside system with its own ledger, declines, lost answers and callbacks."""
