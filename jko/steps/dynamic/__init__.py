"""The dynamic step by alternating directions: its discrete problem, its splitting, and its certificate."""
