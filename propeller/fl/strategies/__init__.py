"""How a round's updates become the next model: one file a family, `registry` finds them by name."""
