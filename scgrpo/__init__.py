"""Self-conditioned GRPO: credit goes to the tokens that decide."""

import os

# Read by OpenMP as torch loads it. Sandboxes share the cores with the model here, and threads that
# spin while they wait slow both several times over.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
