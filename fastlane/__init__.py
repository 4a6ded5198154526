"""fastlane: lean gRPC and HTTP servers for asyncio. They know nothing of what they serve.

server = fastlane.server()
add_GreeterServicer_to_server(Greeter(), server)
server.add_insecure_port("127.0.0.1:50051")
await server.start()

h2/     HTTP/2 without I/O: bytes in, events and bytes out
grpc/   a drop-in for grpc.aio.Server on it
http/   HTTP/1.1 and HTTP/2 for one handler
"""

from fastlane.grpc import Abort, Server, ServerCredentials, server, ssl_server_credentials

__all__ = ["Abort", "Server", "ServerCredentials", "server", "ssl_server_credentials"]
