"""Decisions: diff, placement, schedules, liveness, conditions. Pure functions of what is given."""
