"""Use cases: load, decide in the core, store; one database transaction each."""
