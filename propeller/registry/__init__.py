"""Modules as artifacts: OCI push and pull, local layout, blob store, what a Wasm binary asks for."""
