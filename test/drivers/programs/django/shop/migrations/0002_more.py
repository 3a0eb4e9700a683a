# SPDX-License-Identifier: PostgreSQL
"""Rows and columns in one transaction."""
from django.db import migrations, models


def some_customers(apps, _schema_editor):
    model = apps.get_model("shop", "Customer")
    model.objects.bulk_create(model(name=f"first {i}", tags=["old"]) for i in range(20))


def no_customers(apps, _schema_editor):
    apps.get_model("shop", "Customer").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.RunPython(some_customers, no_customers),
        migrations.AddField("Order", "note", models.TextField(blank=True, default="")),
        migrations.AddConstraint("Order", models.CheckConstraint(
            check=models.Q(("total__gte", 0)), name="not_negative")),
    ]
