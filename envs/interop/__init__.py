"""Our environments in the trainers of others, and theirs in ours.

What needs a package that is not always installed says so at its first use; nothing else imports it.
"""
