"""One file a command: options in, work done, or an `OperatorError` that says what to do."""
