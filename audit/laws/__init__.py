"""What must agree with what, and within which time? One file for each law; docs/auditor.md is their table.

A law reads what the log says in its own way: of the stages it knows nothing but the words on the bus. Its hours
are milliseconds during which the auditor was attending (``audit.attention``): an outage of the log lets none
pass.
"""
