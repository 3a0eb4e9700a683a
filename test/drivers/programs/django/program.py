# SPDX-License-Identifier: PostgreSQL
"""Django: its migrations, its test runner with databases of its own, one process and two, and its
ORM with transactions, cursors, locks and two connections."""
import os
import re
import subprocess
import sys

TIMES = re.compile(r"[0-9.]+s\b")


def manage(*words):
    done = subprocess.run([sys.executable, "-B", "manage.py", *words], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = [TIMES.sub("", line) for line in done.stdout.splitlines()]
    print(done.returncode, *(lines if "parallel" not in " ".join(words) else lines[-3:]), sep="\n")


def migrations():
    manage("migrate", "-v", "1")
    manage("migrate", "shop", "0001")
    manage("migrate")
    manage("showmigrations", "shop")
    manage("inspectdb", "shop_order", "shop_customer")
    manage("sqlsequencereset", "shop")


def tests():
    for words in ((), ("--parallel", "2"), ("--keepdb",), ()):
        manage("test", "--noinput", *words)


def orm():
    os.environ["DJANGO_SETTINGS_MODULE"] = "project"
    import django
    django.setup()
    from django.db import DatabaseError, close_old_connections, connection, connections, models, transaction
    from django.db.models import Count, F, Sum
    from shop.models import Customer, Order
    from shop.tests import WHEN

    Customer.objects.all().delete()
    Customer.objects.bulk_create([Customer(name=f"c{i}", tags=["a", "b"][:i % 3], details={"n": i})
                                  for i in range(100)], batch_size=30)
    customers = list(Customer.objects.order_by("id"))
    Order.objects.bulk_create(Order(customer=customers[i % 100], at=WHEN, total=i) for i in range(500))
    print(Customer.objects.annotate(n=Count("orders"), t=Sum("orders__total")).order_by("-t").values_list(
        "name", "n", "t")[:3])
    print(Customer.objects.filter(tags__contains=["b"]).count(), Customer.objects.filter(details__n=7).get().name)
    print([c.name for c in Customer.objects.prefetch_related("orders").order_by("id")[:3] if c.orders.all()])
    print(Order.objects.filter(total__lt=10).update(total=F("total") + 1))
    print(Customer.objects.bulk_create([Customer(name="c1"), Customer(name="new")], ignore_conflicts=True)[1].name)
    print(Customer.objects.get_or_create(name="c5")[1], Customer.objects.update_or_create(
        name="c6", defaults={"tags": ["z"]})[1])
    with transaction.atomic():
        row = Customer.objects.select_for_update().get(name="c7")
        try:
            with transaction.atomic("second"):
                Customer.objects.using("second").select_for_update(nowait=True).get(pk=row.pk)
        except DatabaseError as e:
            print(type(e).__name__, str(e).splitlines()[0])
        print(Customer.objects.using("second").select_for_update(skip_locked=True).filter(name="c7").query is not None)
        row.tags = ["locked"]
        row.save()
    print(Customer.objects.using("second").get(name="c7").tags)
    try:
        with transaction.atomic():
            Order.objects.create(customer=customers[0], at=WHEN, total=-1)
    except DatabaseError as e:
        print(type(e).__name__, str(e).splitlines()[0])
    with transaction.atomic():
        sid = transaction.savepoint()
        Customer.objects.filter(name="c8").delete()
        transaction.savepoint_rollback(sid)
        print(Customer.objects.filter(name="c8").exists())
        transaction.set_rollback(True)
    print(sum(1 for _ in Order.objects.iterator(chunk_size=17)))
    with connection.cursor() as cur:
        cur.execute("SET statement_timeout = 4321")
        cur.execute("SHOW statement_timeout")
        print(cur.fetchone())
        cur.execute("CREATE TEMP TABLE seen AS SELECT 1 AS one")
        cur.execute("SELECT * FROM seen")
        print(cur.fetchall())
    close_old_connections()
    connections.close_all()
    with connection.cursor() as cur:
        cur.execute("SHOW statement_timeout")
        print(cur.fetchone())
    with transaction.atomic(), connection.cursor() as cur:
        cur.execute("SET CONSTRAINTS ALL DEFERRED")
        customers[3].delete()
    print(Order.objects.filter(customer_id=customers[3].pk).count(), Customer.objects.raw(
        "SELECT * FROM shop_customer WHERE name = %s", ["c9"])[0].name)
    print(Order.objects.explain().split("(")[0], Order.objects.aggregate(models.Max("total")))


for func in (migrations, tests, orm):
    print(f"== {func.__name__}", flush=True)
    try:
        func()
    except Exception as e:    # noqa: BLE001: it is told and compared
        print(f"ended by {type(e).__name__} {e}".strip())
    sys.stdout.flush()
