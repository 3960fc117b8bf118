"""One file per classical model that every result stands beside."""
