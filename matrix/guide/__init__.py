"""Which version to choose for what: cells ranked by evidence, one kind of device at a time."""
