"""Floor 7, the command of `manage.py`."""
