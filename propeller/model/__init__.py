"""What is wanted and what is seen: frozen data, canonical form, digests. No I/O, no clock."""
