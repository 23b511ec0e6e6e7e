"""Who looks like whom: the matrix of similarities minus those of the ground truth, and names for what went wrong.

The idea is MultiBind's (arXiv 2603.21937): D = S_gen - S_gt for each dimension; the diagonal measures degradation, what
is beside it interference. Its matching rule, thresholds and the formulas of its failures are not published, so these
are our own: a report calls the result "LumosX binding".
"""
