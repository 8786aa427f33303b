"""Floor 7, the dashboard: pages in a browser that show a durable queue, and change it.

from steadypool.contrib.web import Access, dashboard

def access(request):
    return Access.act(request.environ["REMOTE_USER"])

app = dashboard(queue, access=access)  # a WSGI application; app.as_asgi() is an ASGI one
"""

from steadypool.contrib.web.access import Access
from steadypool.contrib.web.app import Dashboard, dashboard
from steadypool.contrib.web.audit import WebAction
from steadypool.contrib.web.request import Request

__all__ = ["Access", "Dashboard", "Request", "WebAction", "dashboard"]
