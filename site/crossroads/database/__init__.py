"""What tables need beside models: pagination, leases, group commit, locks, the schema."""
