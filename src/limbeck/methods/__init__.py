"""One paper, one file, one class; the file name is the name in a recipe."""

METHODS = {
    "as_is": "as_is:AsIs",
    "attention_transfer": "attention_transfer:AttentionTransfer",
    "born_again": "born_again:BornAgain",
    "byot": "byot:BYOT",
    "compose": "compose:Compose",
    "dml": "dml:DML",
    "fitnets": "fitnets:FitNets",
    "fsp": "fsp:FSP",
    "hint": "hint:Hint",
    "kd": "kd:KD",
    "netaug": "netaug:NetAug",
    "one": "one:ONE",
    "similarity_preserving": "similarity_preserving:SimilarityPreserving",
    "supervised": "supervised:Supervised",
}
"""Recipe name -> `file:Class`."""
