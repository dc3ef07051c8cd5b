"""What can be typed about proof: one file per noun of the command line."""
