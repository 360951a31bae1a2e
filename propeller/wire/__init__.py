"""The contract with every agent: topics, messages, codecs, signatures. Pure, no I/O."""
