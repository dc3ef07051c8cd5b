"""Findings and acts -> episodes, notifications, evidence."""
