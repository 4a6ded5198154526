"""The chassis against real servers and sockets."""
