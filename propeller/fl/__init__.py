"""Federated learning as mathematics: layouts, encodings, folds, strategies. Pure numpy.

Called by the reconciler's round worker and by the proplet's training worker; imported late, because
numpy takes its time. Nothing here knows a spec, a clock, a file or the network, but `fold`, which
reads spooled updates through what it is given.
"""
