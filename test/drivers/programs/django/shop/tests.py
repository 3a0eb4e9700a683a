# SPDX-License-Identifier: PostgreSQL
import datetime

from django.db import IntegrityError, connection, transaction
from django.test import TestCase, TransactionTestCase

from .models import Customer, Order

WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


class Rolled(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.one = Customer.objects.create(name="one")

    def test_errors_in_savepoints(self):
        for _ in range(5):
            with self.assertRaises(IntegrityError), transaction.atomic():
                Customer.objects.create(name="one")
        self.assertEqual(Customer.objects.filter(name="one").count(), 1)

    def test_a_class_has_its_data(self):
        Order.objects.create(customer=self.one, at=WHEN, total=5)
        self.assertEqual(self.one.orders.count(), 1)

    def test_nothing_is_left(self):
        self.assertEqual(Order.objects.count(), 0)

    def test_on_commit(self):
        with self.captureOnCommitCallbacks(execute=True) as done:
            transaction.on_commit(lambda: None)
        self.assertEqual(len(done), 1)


class Truncated(TransactionTestCase):
    reset_sequences = True

    def setUp(self):
        Customer.objects.all().delete()
        Customer.objects.bulk_create(Customer(name=f"c{i}") for i in range(20))

    def test_sequences(self):
        self.assertEqual(Order.objects.count(), 0)
        customer = Customer.objects.get(name="c3")
        for i in range(3):
            Order.objects.create(customer=customer, at=WHEN, total=i)
        self.assertEqual(list(Order.objects.values_list("id", flat=True).order_by("id")), [1, 2, 3])

    def test_again(self):
        self.test_sequences()

    def test_cursor(self):
        with transaction.atomic():
            got = [c.name for c in Customer.objects.order_by("id").iterator(chunk_size=3)]
        self.assertEqual(len(got), 20)
        self.assertEqual(len(list(Customer.objects.iterator(chunk_size=3))), 20)

    def test_durable(self):
        with transaction.atomic(durable=True):
            Customer.objects.create(name="kept")
        connection.close()
        self.assertTrue(Customer.objects.filter(name="kept").exists())
