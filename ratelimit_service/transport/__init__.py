"""How callers reach the limiter: Envoy's rate-limit RPC and the HTTP endpoints."""
