"""Plug: what content really is."""
