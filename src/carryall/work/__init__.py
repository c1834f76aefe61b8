"""Face: time. What is done later, and what is done again and again."""
