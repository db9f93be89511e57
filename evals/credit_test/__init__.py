"""Does credit fall on the critical tokens?"""
