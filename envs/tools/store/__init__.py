"""tool_store: a shop's support desk with a policy to follow."""
