"""Language models behind one protocol: local weights, a server, a script for tests."""
