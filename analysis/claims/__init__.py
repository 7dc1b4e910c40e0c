"""The hypotheses of the study, each with what it computes, what it needs and when it counts as supported."""
