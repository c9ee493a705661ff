"""Static files, served by WhiteNoise without making every asynchronous view wait in a thread."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

_WhiteNoise: Any = WhiteNoiseMiddleware  # it has no types


class StaticFilesMiddleware:
    """WhiteNoise's own middleware is synchronous only: behind it, each long poll would hold a thread."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.files = _WhiteNoise(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self._later(request) if iscoroutinefunction(self) else self.files(request)

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        path, files = request.path_info, self.files
        found = await sync_to_async(files.find_file)(path) if files.autorefresh else files.files.get(path)
        response: HttpResponseBase = (
            await self.get_response(request)
            if found is None
            else await sync_to_async(files.serve)(found, request)
        )
        return response
