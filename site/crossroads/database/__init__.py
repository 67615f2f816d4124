"""Services on top of the models: pagination, leases, group commit, locks, schema."""
