"""A bucket of S3: AWS's, or one of the many servers that speak like it."""
