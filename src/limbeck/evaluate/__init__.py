"""How good, how alike, how large and how fast a network is."""
