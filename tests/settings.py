"""The product's settings on a fresh home, so that a test run touches nobody's data.

The environment is set rather than the settings, so that processes which tests start (workers, the web server, commands) use
the same services and the same database.
"""

import atexit
import os
import shutil
import tempfile

for name in list(os.environ):
    if name.startswith(("GATEHOUSE_", "ANTHROPIC_", "OPENAI_", "OTEL_", "CELERY_")) or name.endswith(
        ("_proxy", "_PROXY")
    ):
        del os.environ[name]
for name in ("DATABASE_URL", "VALKEY_URL", "BASE_URL", "ALLOWED_HOSTS", "DEBUG", "EMAIL_URL"):
    os.environ.pop(name, None)
os.environ["GATEHOUSE_HOME"] = tempfile.mkdtemp(prefix="gatehouse-test-")
os.environ["SECRET_KEY"] = "only for tests, and never the same as a real one"
os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"

from console import environment  # noqa: E402
from console.settings import *  # noqa: E402, F403
from console.settings import DATABASE_URL, DATABASES, HOME  # noqa: E402

# Django makes the test database under this name; a process that a test starts finds it by the same variable.
TEST_DATABASE = "gatehouse_test"
DATABASES["default"]["TEST"] = {"NAME": TEST_DATABASE}
os.environ["DATABASE_URL"] = DATABASE_URL.replace("/gatehouse?", f"/{TEST_DATABASE}?")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

for folder in (HOME, environment.socket_dir(HOME)):
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
