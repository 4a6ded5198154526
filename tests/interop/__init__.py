"""gRPC interoperability: the test service on fastlane, for any client of that suite."""
