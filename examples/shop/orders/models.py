from django.db import models


class Order(models.Model):
    item = models.CharField(max_length=100)
    mail = models.EmailField()
    receipt_sent_at = models.DateTimeField(null=True)
