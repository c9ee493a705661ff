"""The servers and processes that `up` runs: PostgreSQL, Valkey, and the supervisor of them all."""
