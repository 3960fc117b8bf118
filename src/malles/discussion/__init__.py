"""Several roles that see different facts talk about one purchase; one of them decides."""
