"""Buying for resale: forecasts with uncertainty, order quantities, plans under a budget, negotiation."""
