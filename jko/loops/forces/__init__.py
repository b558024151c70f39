"""Sums Σ_j w_j W(x_i − x_j), their gradients and Hessian products, by every method that reaches its size."""
