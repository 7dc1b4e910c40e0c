"""World models of one's own, to start from."""
