"""Newton's method for the pressure of a JKO step on a grid."""
