"""The payment provider's stand-in: an outside system with its own ledger, declines, slow and lost answers."""
