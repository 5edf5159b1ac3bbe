"""Events to decisions: one process owns the warehouse and answers questions."""
