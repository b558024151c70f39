"""What moves particles: the gradient of a functional, its stiffness, its sums outside jax."""
