"""The contracts: what Carryall needs from the world, one Protocol per file. The prose is the point."""
