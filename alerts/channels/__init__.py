"""One file per recipient, of one shape (``form``): a pure function of the ruling and the notification to the bytes
of the message.

The same notification always gives the same bytes: a repeated delivery repeats the message, not another one.
``registry`` says which channel has which form; ``cloudevent`` and ``cap`` are formats, ``cap_reader`` reads the
second.
"""
