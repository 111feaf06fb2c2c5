"""One paper, one file, one class; the file name is the name in a recipe."""

METHODS = {
    "attention_transfer": "attention_transfer:AttentionTransfer",
    "compose": "compose:Compose",
    "fitnets": "fitnets:FitNets",
    "fsp": "fsp:FSP",
    "hint": "hint:Hint",
    "kd": "kd:KD",
    "similarity_preserving": "similarity_preserving:SimilarityPreserving",
    "supervised": "supervised:Supervised",
}
"""Recipe name -> `file:Class`."""
