"""What a process tells of itself to whoever watches: spans of traces, and lines of its log.

Nothing waits for it. Reconciler, gateway and proplet share it.
"""
