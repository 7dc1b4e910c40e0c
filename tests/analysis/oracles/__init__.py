"""Other people's implementations of the same statistics, and what they compute."""
