"""One file per described API."""
