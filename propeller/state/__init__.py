"""The Store (SQLite), the journal, the lease and the keys: everything that outlives the process."""
