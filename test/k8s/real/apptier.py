# SPDX-License-Identifier: PostgreSQL
"""The sample application in its shipped pods, before one PostgreSQL and one pgweir outside of pods.

Changed in sight: the backend's address of the database (no Patroni tier is started for a look at a page), and a quote
feed, so that prices move.
"""
import os

from lib import Skip
from network import GATEWAY
from plain_pg import PASSWORD, Plain

WEIR = 6432
PAGE = "http://frontend.apps.svc.cluster.local"


class AppTier:
    def __init__(self, cluster, binary, feed_ms=0):
        app = cluster.images["pgweir/finai-backend"]["files"]["/usr/bin/finai-backend"]
        if not os.access(app, os.X_OK):
            raise Skip(f"no program {app}: build first")
        self.cluster = cluster
        self.plain = Plain(cluster)
        self.plain.weir(binary, WEIR, {"listen_addr": f"127.0.0.1,{GATEWAY}", "cache_min_hits": 2})
        self.url = f"postgresql://app:{PASSWORD}@{GATEWAY}:{WEIR}/finai?sslmode=disable"

        def patch(template):
            for one in template["spec"]["initContainers"] + template["spec"]["containers"]:
                one["env"] = [{"name": "DATABASE_URL", "value": self.url},
                              {"name": "FINAI_QUOTE_FEED_MS", "value": str(feed_ms)}]
        self.backend = cluster.pod("apps", "backend", 0, patch).start()
        self.frontend = cluster.pod("apps", "frontend").start()
        self.backend.wait_ready(30)
        self.frontend.wait_ready(30)

    def one(self, sql, *args):
        """The first row of a query at PostgreSQL itself."""
        with self.plain.connect(5432, "postgres") as conn:
            return conn.execute(sql, args).fetchone()

    def stop(self):
        self.plain.stop()
