"""The only doors to the log (NATS JetStream) and to the record (PostgreSQL)."""
