"""Plug: who may write an upload now."""
