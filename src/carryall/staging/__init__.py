"""Plug: where bytes land first."""
