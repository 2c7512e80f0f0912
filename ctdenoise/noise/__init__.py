"""Where noise comes from, and phantoms whose truth is known."""
