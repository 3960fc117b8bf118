"""People to market: trips, kernels, response, fixed point, simulation."""
