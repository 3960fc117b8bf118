"""Short symbolic rules: expressions of our own, their reading and printing, and the search for them."""
