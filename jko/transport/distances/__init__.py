"""W₂ by each method: between Gaussians, on the line, between atoms."""
