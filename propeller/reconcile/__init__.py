"""The one writer: inbox, loop, delivery, status files. Everything else hands over to it."""
