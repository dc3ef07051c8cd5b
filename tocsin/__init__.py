"""Tocsin: the words, limits, ports and doors that every stage shares.

Nothing in here decides anything about a pair or an alert; see ``ingest``, ``geofence`` and ``alerts``.
"""

__version__ = "0.2.0"
