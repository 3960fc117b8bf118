"""Changes of the world and the difference they make."""
