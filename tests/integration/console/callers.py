"""Programs that call the API in tests."""

import json
from typing import Any, cast

from django.test import Client
from django.utils import timezone

from console.people.tokens import make_token
from tests import world


class Caller:
    """A program with a token; `status` and `body` are of the last answer."""

    def __init__(self, name: str, role: str, *scopes: str, **options: Any) -> None:
        self.user = world.person(name, role)
        self.token = make_token(user=self.user, role=role, scopes=scopes, now=timezone.now(), **options)
        self.status, self.body = 0, cast("Any", None)
        self.client = Client(headers={"authorization": f"Bearer {self.token}"}, raise_request_exception=True)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that a read answers with."""
        return self._take(self.client.get(f"/api/v1{path}", query))

    def post(self, path: str, body: Any = None, *, key: str = "") -> Any:
        """The JSON that a POST answers with; `body` is sent as it is where it is bytes."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {"idempotency-key": key} if key else {}
        return self._take(
            self.client.post(f"/api/v1{path}", data, content_type="application/json", headers=headers)
        )

    def put(self, path: str, body: Any) -> Any:
        """The JSON that a PUT answers with."""
        return self._take(
            self.client.put(f"/api/v1{path}", json.dumps(body), content_type="application/json")
        )

    def delete(self, path: str) -> Any:
        """The JSON that a DELETE answers with; None where there is none."""
        return self._take(self.client.delete(f"/api/v1{path}"))

    def _take(self, response: Any) -> Any:
        self.status = response.status_code
        self.headers = response.headers
        if self.status >= 400:
            assert response.headers["Content-Type"] == "application/problem+json"
            problem = response.json()
            assert problem["status"] == self.status
            assert problem["type"].startswith("urn:gatehouse:problem:")
            assert problem["title"]
            assert problem["detail"]
        self.body = response.json() if response.content else None
        return self.body
