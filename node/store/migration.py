"""What migrations run: scripts of plain SQL, statement by statement."""

import re
from typing import Final

from alembic import op

# A statement ends at a semicolon outside $$...$$; comments are dropped first. The driver prepares
# what it runs, and a prepared statement is one statement.
_COMMENT: Final = re.compile(r"--[^\n]*")
_STATEMENT: Final = re.compile(r"(?:\$\$.*?\$\$|[^;$])+;", re.DOTALL)


def run(*scripts: str) -> None:
    """Run these scripts, in order, in the migration's transaction."""
    for script in scripts:
        for statement in _STATEMENT.findall(_COMMENT.sub("", script)):
            op.get_bind().exec_driver_sql(statement)
