"""fastlane over real sockets: conformance, interoperability, abuse, contracts."""
