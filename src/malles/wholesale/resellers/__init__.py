"""Orders of resellers: which products they reorder, how many units, and a talk about it."""
