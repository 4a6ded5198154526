"""The whole mesh: real Envoy, real Valkey, the services as processes."""
