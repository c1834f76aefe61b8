"""Plug: who is told what happened."""
