"""Secure aggregation (Bonawitz et al., CCS 2017): the server learns a sum and no summand.

`client` and `server` are the two sides of four exchanges; messages are values, chance is passed in.
Against a server that follows the protocol and looks at everything it gets; what is not promised is
said in docs/explanation/privacy.md.
"""
