"""What travels is what was promised: stubs are fresh, and their bytes are Envoy's."""
