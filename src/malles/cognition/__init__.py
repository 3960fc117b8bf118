"""A cognitive core in the manner of ACT-R: what a customer remembers, and the rules it acts by."""
