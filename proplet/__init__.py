"""The Linux agent: holds what the manager's signed documents say, and reports what it holds."""
