"""A fleet's trust made from nothing: certificates, keys, the broker's configuration, bundles.

Called by `propeller provision`. One folder holds all of it and is the only state; nothing here runs
while the fleet does, but `service`, where devices fetch and renew certificates.
"""
