"""The distance under uncertainty: rules proposed for the next engine, as a reference to judge and to copy.

Scalar, pure, deterministic; ``docs/adr/0019-distance-under-uncertainty.md`` is the specification. Nothing in
production uses them. They know no network, no order and no clock: the hour is handed in.
"""
