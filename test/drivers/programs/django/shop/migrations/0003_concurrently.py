# SPDX-License-Identifier: PostgreSQL
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shop", "0002_more")]
    operations = [AddIndexConcurrently("Order", models.Index(fields=["at"], name="shop_order_at_c8ad6c_idx"))]
