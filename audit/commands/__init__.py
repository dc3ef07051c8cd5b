"""What of the proof can be typed."""
