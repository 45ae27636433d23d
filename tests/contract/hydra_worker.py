"""Real Hydra, under NeMo's Python: reads a JSON line [configuration, overrides], writes its answer.

The answer is null, or what Hydra says against the overrides.
"""

import json
import sys
from pathlib import Path

from omegaconf import OmegaConf

from check_nemo import compose

for line in sys.stdin:
    path, overrides = json.loads(line)
    try:
        answer = {"composed": OmegaConf.to_container(compose(Path(path), overrides))}
    except Exception as error:  # a ValueError, too, of an index that is a word
        answer = {"refused": str(error)}
    print(json.dumps(answer), flush=True)
