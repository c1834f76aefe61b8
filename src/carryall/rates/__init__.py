"""Plug: how often somebody asked."""
