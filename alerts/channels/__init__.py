"""One file per recipient, all of one shape: ``body(ruling, notification, site) -> bytes``, pure.

The same notification always gives the same bytes: a repeated delivery repeats the message, not another one.
"""
