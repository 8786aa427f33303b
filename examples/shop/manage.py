"""A shop that sends a receipt for each order: in the transaction that saves the order.

$ pip install 'steadypool[django]'
$ python manage.py migrate
$ python manage.py runserver &
$ python manage.py steadypool work --reload &
$ curl -d item=tea -d mail=ada@example.com localhost:8000/orders/
"""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
