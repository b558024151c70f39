"""Fields taken from one grid to another."""
