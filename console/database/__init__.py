"""A database backend: Django's own for PostgreSQL, with another way to tell whether a pooled connection is alive."""
