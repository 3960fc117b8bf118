"""Tables, figures and the page: draws, never computes."""
