"""`sluice up` and its pieces with real processes."""
