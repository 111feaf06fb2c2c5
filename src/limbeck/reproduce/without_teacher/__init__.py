"""Networks that learn from themselves, their peers or their branches: all on the same images, for equally long.

setting   the images, the training, and what each network is compared with
ban       born-again networks
dml       deep mutual learning
one       native ensembles
byot      be your own teacher, with early exits
"""
