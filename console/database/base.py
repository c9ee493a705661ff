"""Django's backend asks the server before each use of a pooled connection; this one looks at the socket instead.

A run gives its connection back whenever it waits for the world, so the question would be a good part of all that the
server is asked. A connection that the server ended, as on a restart, has something to be read while nothing was asked.
"""

import select
from typing import Any

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL with a pool whose dead connections are replaced when they are met."""

    _params: dict[str, Any] | None = None

    def get_connection_params(self) -> dict[str, Any]:
        """As they stand in the settings; worked out once where a pool keeps the connections."""
        if not self.settings_dict["OPTIONS"].get("pool"):
            return super().get_connection_params()
        if self._params is None:
            self._params = super().get_connection_params()
        return self._params

    def _set_autocommit(self, autocommit: bool) -> None:
        if self.connection.autocommit != autocommit:
            super()._set_autocommit(autocommit)  # type: ignore[misc]

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        while self.pool and _is_over(connection):
            connection.close()
            self.pool.putconn(connection)
            connection = super().get_new_connection(conn_params)
        return connection


def _is_over(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
