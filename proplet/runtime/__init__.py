"""Guests in processes of their own. Only what runs in a worker may import wasmtime."""
