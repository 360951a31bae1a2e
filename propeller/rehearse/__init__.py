"""A fleet on a fake clock: the real reconciler and the real agents, guests and network pretended.

For `propeller simulate` and for the scenario tests, which are its proof. One thread, one heap, one
seeded generator: the same seed gives the same trace. The only room of the control plane that knows
the agent.
"""
