"""Geoffrey Hinton, Oriol Vinyals, Jeff Dean. Distilling the Knowledge in a Neural Network. arXiv:1503.02531 (2015).

setting         the large net and the small ones, as all experiments on MNIST use them
mnist           table of section 3: teacher, student alone, student distilled
temperature     which temperature is best, for students of several widths
missing_class   transfer sets without 3s, and with 7s and 8s only
regulariser     soft targets with a small part of the data
specialists     a generalist, specialists for the classes that it confuses, and one network distilled from all
specialists_setting  their sizes and recipes
ensemble        ten networks, and one network distilled from them, on several kinds of data
ensemble_mnist  the same on MNIST
ensemble_speech the same on frames of spoken digits
taught          how far networks are from their ensemble, where a student learns and where it is tested
frames          what networks get right in recordings, and its noise
"""
