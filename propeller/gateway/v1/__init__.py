"""`/api/v1`: the fleet for programs. Reads the store, posts to the inbox, changes nothing."""
