from django.core import mail
from django.core.exceptions import ValidationError
from django.test import TestCase

from orders.models import Order
from orders.tasks import report, send_receipt
from steadypool.contrib.django.testing import run_jobs


class Receipts(TestCase):
    def test_an_order_sends_a_receipt(self) -> None:
        answer = self.client.post("/orders/", {"item": "tea", "mail": "ada@example.com"})
        self.assertEqual(answer.status_code, 201)
        self.assertEqual(mail.outbox, [])

        run_jobs()

        [receipt] = mail.outbox
        self.assertIn("your order of tea", receipt.body)
        self.assertIsNotNone(Order.objects.get().receipt_sent_at)
        self.assertEqual(send_receipt.get_result(answer.json()["receipt"]).return_value, 1)

    def test_an_order_that_is_refused_sends_none(self) -> None:
        with self.assertRaises(ValidationError):
            self.client.post("/orders/", {"item": "tea", "mail": "no address"})
        self.assertFalse(Order.objects.exists())
        self.assertEqual(run_jobs(), [])

    def test_an_order_has_one_receipt(self) -> None:
        order = Order.objects.create(item="tea", mail="ada@example.com")
        first, second = send_receipt.enqueue(order.pk), send_receipt.enqueue(order.pk)
        self.assertEqual(first.id, second.id)
        self.assertEqual(len(run_jobs()), 1)

    def test_the_report(self) -> None:
        Order.objects.create(item="tea", mail="ada@example.com")
        report.enqueue()
        run_jobs()
        self.assertEqual(mail.outbox[0].body, "1 orders")
