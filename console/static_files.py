"""Static files, served by WhiteNoise without making every asynchronous view wait in a thread."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # WhiteNoise has no types
    """WhiteNoise's own middleware is synchronous only: behind it, each long poll would hold a thread."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if iscoroutinefunction(self):
            return self._later(request)
        return super().__call__(request)

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        file = await sync_to_async(self.find_file)(path) if self.autorefresh else self.files.get(path)
        if file is not None:
            response: HttpResponseBase = await sync_to_async(self.serve)(file, request)
            return response
        answer: Awaitable[HttpResponseBase] = self.get_response(request)
        return await answer
