import os

APPS, BACKENDS = (
    {"steadypool": "steadypool.contrib.django", "db": "django_tasks_db", "ox": "django_ox"},
    {
        "steadypool": "steadypool.contrib.django.SteadypoolBackend",
        "db": "django_tasks_db.DatabaseBackend",
        "ox": "django_ox.backend.OxBackend",
    },
)
SIDE = os.environ["BENCH_SIDE"]
SECRET_KEY = "of the benchmark"
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "rows", APPS[SIDE]]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["BENCH_NAME"],
        "HOST": os.environ["BENCH_HOST"],
        "USER": os.environ["BENCH_USER"],
        "CONN_MAX_AGE": None,
    }
}
TASKS = {"default": {"BACKEND": BACKENDS[SIDE]}}
