"""What can be typed about ingest: one file per noun of the command line."""
