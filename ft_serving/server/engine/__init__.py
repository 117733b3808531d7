"""Generation over FasterTransformer's weight files, with its semantics, in numpy."""
