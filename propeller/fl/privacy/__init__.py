"""Central differential privacy: how much one update may weigh, noise, and what it has cost."""
