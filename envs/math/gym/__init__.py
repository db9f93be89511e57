"""Math word problems from GSM-style families: environment, families, the wheel they come from."""
