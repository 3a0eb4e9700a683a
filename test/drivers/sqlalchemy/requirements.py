# SPDX-License-Identifier: PostgreSQL
"""What the dialect can do: the defaults, which the suite skips tests by."""
from sqlalchemy.testing.requirements import SuiteRequirements


class Requirements(SuiteRequirements):
    pass
