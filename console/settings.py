"""Django settings: everything that an installation may change comes from the environment."""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.templatetags.static import static

from console import admin_look, environment, logs

logs.configure()

ROOT = Path(__file__).resolve().parent.parent
HOME = environment.home()

SECRET_KEY = environment.secret_key(HOME)
# Older keys, with which sessions, links and stored credentials can still be read.
SECRET_KEY_FALLBACKS = environment.listed("SECRET_KEY_FALLBACKS", [])
DEBUG = os.environ.get("DEBUG") == "1"
BASE_URL = environment.base_url(HOME)
ALLOWED_HOSTS = environment.listed("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = [BASE_URL]

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "console.admin_config.GatehouseAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "django_htmx",
    "csp",
    "ninja",
    "traces",
    "approvals",
    "agents",
    "agents.examples.support",
    "console",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "console.api.problems.ProblemMiddleware",
    "console.static_files.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

# Django's own would tell nobody of a page that failed, but where DEBUG is on.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"in_use": {"()": "django.utils.log.RequireDebugFalse"}},
    "handlers": {"log": {"class": "logging.StreamHandler", "filters": ["in_use"], "level": "ERROR"}},
    "loggers": {"django.request": {"handlers": ["log"]}},
}

ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASE_URL = environment.database_url(HOME)
DATABASES: dict[str, Any] = {"default": dict(dj_database_url.parse(DATABASE_URL, engine="console.database"))}
DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"].get("OPTIONS", {}),
    # Threads share these: a run gives its connection back before it waits for a model.
    "pool": environment.database_pool(),
    # Of what `traces.statement` writes; a pooler before the database must know prepared statements.
    "prepare_threshold": 5,
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

VALKEY_URL = environment.valkey_url(HOME)
CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", environment.broker_url(VALKEY_URL))
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# The broker may be away for as long as it likes: what it lost, the sweeper finds in the database.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": VALKEY_URL}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [VALKEY_URL]},
    }
}

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "console.people.roles.AdminBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/sign-in"

USE_TZ = True
FORMAT_MODULE_PATH = "console.formats"
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "static"]
WHITENOISE_USE_FINDERS = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "object-src": ["'none'"],
    }
}
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BASE_URL.startswith("https://")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# Where our spans are sent by OTLP; prompts, answers and arguments only where somebody asks for that.
OTLP_ENDPOINT = environment.otlp_endpoint(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""))
OTLP_HEADERS = environment.otlp_headers(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
OTLP_CONTENTS = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower() == "true"
EXPORT_SECONDS = 5.0
# How long a worker may hold a run without a sign of life (s); it renews at a third of this.
LEASE_SECONDS = float(os.environ.get("GATEHOUSE_LEASE_SECONDS", "15"))
# How often the sweeper looks for what should be moving and isn't (s).
SWEEP_SECONDS = float(os.environ.get("GATEHOUSE_SWEEP_SECONDS", "2"))
# How often what was written to the audit log is sealed (s).
SEAL_SECONDS = 5.0
CELERY_BEAT_SCHEDULE = {
    # A sweep that nobody took in time is not missed: the next one finds the same.
    "sweep": {"task": "agents.sweep", "schedule": SWEEP_SECONDS, "options": {"expires": SWEEP_SECONDS}},
    "deliver": {
        "task": "console.deliver_due",
        "schedule": SWEEP_SECONDS,
        "options": {"expires": SWEEP_SECONDS},
    },
    "tell": {"task": "console.tell", "schedule": SWEEP_SECONDS, "options": {"expires": SWEEP_SECONDS}},
    "escalate": {"task": "console.escalate", "schedule": 10.0, "options": {"expires": 10.0}},
    "seal": {"task": "console.seal_events", "schedule": SEAL_SECONDS, "options": {"expires": SEAL_SECONDS}},
    "precedents": {"task": "agents.keep_precedents", "schedule": 5.0, "options": {"expires": 5.0}},
    "verify": {"task": "console.verify_audit", "schedule": 24 * 3600.0, "options": {"expires": 3600.0}},
    "upkeep": {"task": "agents.upkeep", "schedule": 30.0, "options": {"expires": 30.0}},
    "batches": {
        "task": "agents.advance_batches",
        "schedule": SWEEP_SECONDS,
        "options": {"expires": SWEEP_SECONDS},
    },
    "ask_sources": {"task": "agents.ask_sources", "schedule": 300.0, "options": {"expires": 300.0}},
}
if OTLP_ENDPOINT:
    CELERY_BEAT_SCHEDULE["export"] = {
        "task": "console.export_spans",
        "schedule": EXPORT_SECONDS,
        "options": {"expires": EXPORT_SECONDS},
    }
# Irreversible calls that one worker process executes at a time: after a crash at most so many are in doubt.
EFFECT_SLOTS = int(os.environ.get("GATEHOUSE_EFFECT_SLOTS", "6"))
# Breakers of the whole system. Above this share of escalated runs, of so many that ended within an hour, at most
# REDUCED_RUNS work at a time; above so many times the cost of the usual hour, no new run begins.
ESCALATION_RATE, ESCALATION_RUNS = 0.2, 20
REDUCED_RUNS = int(os.environ.get("GATEHOUSE_REDUCED_RUNS", "25"))
COST_TIMES = 2.0
# What the usual hour is taken to cost at least (USD), so that a quiet system may have a busy hour.
COST_FLOOR_USD = float(os.environ.get("GATEHOUSE_COST_FLOOR_USD", "10"))
# An approval that was granted must be used within this time (s), or the call expires.
APPROVAL_USE_SECONDS = 3600
# How long an operator has to decide where the rule does not say (s); then the call expires, which denies it.
APPROVAL_SECONDS = 24 * 3600
# One person runs all of this: their own requests, edits and agents need nobody else. Each such approval is recorded.
SINGLE_OPERATOR = os.environ.get("GATEHOUSE_SINGLE_OPERATOR", "") == "1"
# Requests that one API token may make within a minute.
API_RATE = int(os.environ.get("GATEHOUSE_API_RATE", "600"))
# Word by e-mail; without it people are told by their other channels.
EMAIL_URL = os.environ.get("EMAIL_URL", "")
vars().update(environment.email(EMAIL_URL))
# Whether who has a stake in an action can't approve it alone, nor lift the emergency stop that they pressed.
FOUR_EYES = os.environ.get("GATEHOUSE_FOUR_EYES") == "1"
# From which risk on (low, medium, high) who approves gives a second factor, and for how long it counts (s). None: where a
# rule says so.
STEP_UP_RISK = environment.step_up_risk(os.environ.get("GATEHOUSE_STEP_UP", ""))
STEP_UP_SECONDS = 60 * int(os.environ.get("GATEHOUSE_STEP_UP_MINUTES", "10"))
# By risk: within how many seconds a request should be answered. Nothing is denied then; its card says so.
DUE_SECONDS = environment.due_seconds(os.environ.get("GATEHOUSE_DUE_MINUTES", "high=15,medium=60,low=240"))
# Questions that another program may put to people within an hour, before it is halted; 0: any number.
QUESTIONS_PER_HOUR = int(os.environ.get("GATEHOUSE_QUESTIONS_PER_HOUR", "0"))
# The roles whose people see everybody's figures about deciding; all others see their own.
FIGURES_FOR = environment.roles("GATEHOUSE_FIGURES_FOR", ["admin", "analyst"])
# Where tools may reach: scheme, host and port. Private and local addresses only where an entry names the host exactly.
EGRESS = environment.listed("GATEHOUSE_EGRESS", ["https://*"])

UNFOLD = {
    "SITE_TITLE": "Gatehouse",
    "SITE_HEADER": "Gatehouse",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": "/",
    "SITE_SYMBOL": "shield_person",
    "SHOW_BACK_BUTTON": True,
    "COLORS": {"primary": admin_look.INK},
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("mark.svg")}],
    "STYLES": [lambda request: static("admin.css")],
    "SCRIPTS": [lambda request: static("admin.js")],
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": admin_look.SECTIONS},
}

MODEL_ENDPOINTS = environment.model_endpoints()
# Where the simulated models answer, for providers without key and base URL; `up` sets it.
SIMULATOR_URL = os.environ.get("GATEHOUSE_SIMULATOR_URL", "")
