"""The options of every command as a dataclass, and the call of its library function; `mnist.py` has the table.

Library modules are imported inside the functions, so that a mistyped option is refused without loading torch.
"""

import utils  # noqa: F401 - before torch: sets how threads wait
