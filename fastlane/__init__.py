"""fastlane: a lean HTTP/2 and gRPC server for asyncio. It knows nothing of what it serves.

server = fastlane.server()
add_GreeterServicer_to_server(Greeter(), server)
server.add_insecure_port("127.0.0.1:50051")
await server.start()
"""

from fastlane.grpc import Abort, Server, ServerCredentials, server, ssl_server_credentials

__all__ = ["Abort", "Server", "ServerCredentials", "server", "ssl_server_credentials"]
