"""One paper, one file, one class; the file name is the name in a recipe."""

METHODS = {
    "compose": "compose:Compose",
    "kd": "kd:KD",
    "supervised": "supervised:Supervised",
}
"""Recipe name -> `file:Class`."""
