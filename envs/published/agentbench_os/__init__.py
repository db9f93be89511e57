"""AgentBench's operating-system tasks, in our sandbox (arXiv:2308.03688)."""
