"""The command line: a thin skin over what Python offers."""
