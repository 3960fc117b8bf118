"""History to features: what a customer did before, what others did, and what is announced."""
