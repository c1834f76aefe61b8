"""The nouns: what an upload, a file and a principal are. Standard library only; no I/O, no clock, no randomness."""
