"""Plug: the memory of everything."""
