"""Bytes from devices -> admitted fixes and alarms on the bus, and in the archive."""
