"""The tests of Sluice: unit mirrors the source, integration has real parts, e2e the whole mesh."""
