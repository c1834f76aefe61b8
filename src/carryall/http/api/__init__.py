"""The native JSON API under /v1, and the server's own routes."""
