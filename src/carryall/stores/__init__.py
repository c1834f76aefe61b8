"""Plug: where files live."""
