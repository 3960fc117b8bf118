"""One file per data set that malles knows by name."""
