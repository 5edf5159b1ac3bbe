"""The eight services of the shop; each folder is one service with its card, rules, handlers and store."""
