"""One figure a module: ``draw(results, looks) -> list[Drawn]``, empty where the data hold nothing to draw."""
