"""What the convex programs of a JKO step are made of."""
