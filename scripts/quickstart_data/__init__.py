"""Make the quickstart data: short CodeAct trajectories, general conversations and held-out tasks."""
