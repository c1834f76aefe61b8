"""Plug: the machine's clock and randomness."""
