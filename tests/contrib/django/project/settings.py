"""A Django project for the tests. Its databases are those that the environment names."""

from __future__ import annotations

import importlib.util
import os
from urllib.parse import parse_qs, urlsplit


def database(url: str) -> dict[str, object]:
    """The entry in DATABASES for an address."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path[1:]}
    age = os.environ.get("PROJECT_CONN_MAX_AGE", "60")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "HOST": parts.hostname or parse_qs(parts.query)["host"][0],
        "PORT": parts.port or "",
        "CONN_MAX_AGE": None if age == "None" else int(age),
    }


HAS_TASKS = importlib.util.find_spec("django.tasks") is not None
FRAMEWORK = "django.tasks" if HAS_TASKS else "django_tasks"
OURS = "steadypool.contrib.django.SteadypoolBackend"

SECRET_KEY = "of the tests"
DEBUG = os.environ.get("PROJECT_DEBUG") == "1"
ALLOWED_HOSTS = ["testserver"]
USE_TZ = True
TIME_ZONE = "Asia/Kathmandu"
ROOT_URLCONF = "urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "shop",
    "steadypool.contrib.django",
    *([] if HAS_TASKS else ["django_tasks"]),
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# Their tables at once, and not by their dozens of migrations.
MIGRATION_MODULES = dict.fromkeys(("admin", "auth", "contenttypes", "sessions"))
DATABASES = {name: database(os.environ[f"PROJECT_{name.upper()}"]) for name in ("default", "other")}
if "sqlite" in str(DATABASES["default"]["ENGINE"]):  # "other" is as Django has it by default
    DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 30}
TASKS = {
    "default": {"BACKEND": OURS, "QUEUES": ["default", "mail"], "OPTIONS": {"modules": ["jobs"]}},
    "other": {"BACKEND": OURS, "QUEUES": [], "OPTIONS": {"database": "other"}},
    "elsewhere": {"BACKEND": OURS, "OPTIONS": {"url": os.environ["PROJECT_ELSEWHERE"]}},
    "dummy": {"BACKEND": "steadypool.contrib.django.testing.DummyBackend"},
    "immediate": {"BACKEND": "steadypool.contrib.django.testing.ImmediateBackend"},
    "stock": {"BACKEND": f"{FRAMEWORK}.backends.immediate.ImmediateBackend"},
}
if "PROJECT_POOLED" in os.environ:  # the database of "default", by way of PgBouncer
    DATABASES["pooled"] = {**database(os.environ["PROJECT_POOLED"]), "DISABLE_SERVER_SIDE_CURSORS": True}
    TASKS["pooled"] = {"BACKEND": OURS, "QUEUES": ["pooled"], "OPTIONS": {"database": "pooled", "pooled": True}}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
