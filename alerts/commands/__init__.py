"""What can be typed about alerts: one file per noun of the command line."""
