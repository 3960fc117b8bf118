"""Rows to choice occasions: categories, slates, prices, promotions, trips, splits."""
