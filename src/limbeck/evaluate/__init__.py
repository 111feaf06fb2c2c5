"""How good, how alike, how large and how fast a network is.

predictions      pass a data set through a network once; a file of what it said
classification   accuracy, calibration and proper scores of predictions; agreement of two networks
speech           from the frames of recordings to words
cost             parameters, floating-point operations, latency, size of files
class_bias       biases of a few classes, corrected afterwards
memory           the peak of one forward pass
confusable       which classes a network confuses, as subsets for specialists
timing           the median time of a call, whatever it is
mode             a network in evaluation mode for a while, and then as it was
"""
