"""Plug: how somebody proves who they are."""
