"""Make the flywheel data: tasks to practise without solutions, and held-out tasks that tell whether practice helped."""
