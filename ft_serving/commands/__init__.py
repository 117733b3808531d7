"""Commands for those who use a served model: they stand on `ft_serving.client`.

What a command needs is imported when it runs: the extra `client` may not be installed, and
`--help` should not wait for it.
"""
