# SPDX-License-Identifier: PostgreSQL
"""SQLAlchemy's own pytest plugin, as its instructions for dialects have it."""
import pytest

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing.plugin.pytestplugin import *    # noqa: E402,F401,F403
