"""Episodes and tasks in the formats of other projects."""
