"""The set model on economic features, with its launch mode, quantity and incidence."""
