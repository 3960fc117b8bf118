"""A crowd on several processors or machines: shards, workers, the roll-out over periods."""
