"""Plants defects: clean dialogues become raw logs and a ledger of what was planted where.

Each line of the raw logs has at most one defect. The ledger names the right action for it; lines
that it does not name are clean. Hard negatives look like a defect and must stay. Only the scorer
reads the ledger, cleaning never does. The sentences that customers and agents say in addition
stand, written by hand, in `language/defects`.
"""

from course_lib.world.defects.lines import ACTIONS, Line, as_log, edited, encoded
from course_lib.world.defects.planter import BASE, COUNTS, Planter, plant

__all__ = ["ACTIONS", "BASE", "COUNTS", "Line", "Planter", "as_log", "edited", "encoded", "plant"]
