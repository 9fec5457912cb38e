"""Objects as the text of server-side apply: JSON that is YAML, too.

The API server reads what is applied as YAML, whose escapes know no surrogate pairs: characters beyond the basic plane are
written as they are. All else that is not ASCII is escaped, since YAML refuses some of it and folds some into spaces.
Source: YAML 1.1, sections 5.1 and 5.3.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

_TO_ESCAPE = re.compile(r"[\x7f-\uffff]")


def applied_text(document: Mapping[str, Any]) -> bytes:
    """The document as UTF-8, to be read as YAML or as JSON."""
    text = json.dumps(document, ensure_ascii=False)
    return _TO_ESCAPE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
