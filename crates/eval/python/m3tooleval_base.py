"""What modules of M3ToolEval import from `tasks.base`: tasks and tools are noted, and nothing is done with them."""
from collections import namedtuple

ToolType = namedtuple("ToolType", ["name", "description", "function", "fn_signature"])
TASKS = []


class Task:
    def __init__(self, name, tools, instruction, expected_output, is_single_tool_task=True):
        self.name, self.tools, self.instruction = name, tools, instruction
        self.expected_output, self.is_single_tool_task = expected_output, is_single_tool_task


def register_task_iterator(tasks, length):
    TASKS.extend(tasks)
