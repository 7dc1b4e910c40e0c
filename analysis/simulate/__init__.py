"""Studies with effects that were put in: to test what the analysis finds, and to plan how many seeds it needs."""
