# SPDX-License-Identifier: PostgreSQL
from django.contrib.postgres.fields import ArrayField
from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=60, unique=True)
    tags = ArrayField(models.TextField(), default=list)
    details = models.JSONField(default=dict)


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    at = models.DateTimeField()
    total = models.DecimalField(max_digits=9, decimal_places=2)
    note = models.TextField(blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["at"])]
        constraints = [models.CheckConstraint(check=models.Q(total__gte=0), name="not_negative")]
