"""The client's side of a sandbox: pool, leases, framed stream."""
