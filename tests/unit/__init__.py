"""Tests of one module each, without processes or sockets; the folders mirror the source."""
