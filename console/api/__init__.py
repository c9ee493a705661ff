"""The REST API at /api/v1: thin views over the same operations that the pages use."""
