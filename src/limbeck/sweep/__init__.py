"""Many runs as one piece of work: a grid of settings, several seeds, a paper's experiment.

planning     from what is asked for to a graph of runs
train        all of them, checked before the first one is trained
workers      side by side in several processes, each resumable
progress     how far they are
finished     their figures, predictions and networks
"""
