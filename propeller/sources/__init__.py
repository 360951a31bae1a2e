"""Directory and git -> one immutable Revision, taken whole or not at all."""
