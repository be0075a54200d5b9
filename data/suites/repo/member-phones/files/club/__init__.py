"""A club that lends books."""
