"""What leaves a fleet for people and other tools: status in git, commit statuses, alerts."""
