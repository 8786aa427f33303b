from django.core.mail import send_mail
from django.utils import timezone

from orders.models import Order
from steadypool import Cron, Retry
from steadypool.contrib.django import task


@task(queue_name="mail", timeout=60, retry=Retry(5, on=OSError), unique="receipt-{order_id}")
def send_receipt(order_id: int) -> int:
    order = Order.objects.get(pk=order_id)
    sent = send_mail("Your order", f"We have got your order of {order.item}.", None, [order.mail])
    Order.objects.filter(pk=order_id).update(receipt_sent_at=timezone.now())
    return sent


@task(timeout=600, schedule=Cron("0 7 * * mon-fri", tz="Europe/Berlin"))
def report() -> None:
    waiting = Order.objects.filter(receipt_sent_at=None).count()
    send_mail("Orders without a receipt", f"{waiting} orders", None, ["office@example.com"])
