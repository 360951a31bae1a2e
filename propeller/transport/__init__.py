"""MQTT and its stand-ins. Callbacks only hand over; nothing here knows what a message means."""
