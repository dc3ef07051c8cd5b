"""What does it cost to decide about a pair, beside other ways to do the same work? ``tocsin bench geofence``."""
