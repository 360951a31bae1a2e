"""The API of a running reconciler. Reads the store, posts to the inbox, never writes around it."""
