"""Which servers does Tocsin bring along, so that ``pip install`` and one command are enough?

One message server (``EmbeddedBroker``: nats-server, as MQTT 3.1.1 listener and JetStream log) and one
database (``EmbeddedPostgres``), each a child process of the supervisor, each keeping everything in one home
folder, both on loopback or a Unix socket only. A production site runs its own servers and never imports this
package.
"""

from tocsin.embedded.broker import BrokerAddresses, DeviceLogin, EmbeddedBroker, hash_password, is_password_of
from tocsin.embedded.child import EmbeddedServerError
from tocsin.embedded.database import EmbeddedPostgres

__all__ = [
    "BrokerAddresses",
    "DeviceLogin",
    "EmbeddedBroker",
    "EmbeddedPostgres",
    "EmbeddedServerError",
    "hash_password",
    "is_password_of",
]
