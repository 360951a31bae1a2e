"""The first Propeller's HTTP routes (`/tasks`, `/proplets`, `/jobs`, `/workflows`, `/fl`), so that
its CLI and SDK work against this one. A task made there is a spec in the App `upstream`."""
