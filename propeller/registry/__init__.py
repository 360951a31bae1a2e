"""Modules as artifacts: OCI push and pull, local layout, blobs, what a Wasm binary asks for."""
