"""One file per recipient: a pure function of the ruling and the notification to the bytes of the message.

The same notification always gives the same bytes: a repeated delivery repeats the message, not another one.
``cloudevent`` and ``cap`` are the two formats, ``cap_reader`` reads the second.
"""
