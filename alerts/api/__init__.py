"""REST, live feed and console: how people and their machines see the alerts and act on them."""
