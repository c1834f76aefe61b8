"""The catalog's history, oldest first: `versions/`. Forward only."""
