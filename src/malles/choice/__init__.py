"""The economics of one choice: probability, likelihood, elasticity, quantity, incidence, welfare."""
