# SPDX-License-Identifier: PostgreSQL
"""The tests for dialects that SQLAlchemy ships."""
from sqlalchemy.testing.suite import *    # noqa: F401,F403
