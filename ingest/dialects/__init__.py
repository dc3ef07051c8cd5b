"""One file per way of speaking: payload -> reports, or the reason why not."""
