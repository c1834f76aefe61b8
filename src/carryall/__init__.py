"""Carryall takes any file through any door and carries it to any storage."""
