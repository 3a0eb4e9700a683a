# SPDX-License-Identifier: PostgreSQL
import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Customer", [
            ("id", models.BigAutoField(primary_key=True, serialize=False)),
            ("name", models.CharField(max_length=60, unique=True)),
            ("details", models.JSONField(default=dict)),
        ]),
        migrations.CreateModel("Order", [
            ("id", models.BigAutoField(primary_key=True, serialize=False)),
            ("customer", models.ForeignKey("shop.Customer", on_delete=django.db.models.deletion.CASCADE,
                                           related_name="orders")),
            ("at", models.DateTimeField()),
            ("total", models.DecimalField(max_digits=9, decimal_places=2)),
        ]),
        migrations.AddField("Customer", "tags", django.contrib.postgres.fields.ArrayField(
            models.TextField(), default=list)),
    ]
