"""The servers and clients of the other tests, where several of them work together."""

from tests.clients.conftest import node, node_folder
from tests.wire.conftest import make_module_server, make_server

__all__ = ["make_module_server", "make_server", "node", "node_folder"]
