# case: 63
# title: print what transcripts and chat templates use as marks
# layer: none
# expect: survives
# doctor: no
# seconds: 5
MARKS = ["</execute>", "<execute>print(1)</execute>", "Execution Output:", "Observation:", "</s>", "<s>", "[INST]",
         "[/INST]", "<|im_start|>system", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<<SYS>>", "### Instruction:",
         "In [1]:", "Out[1]:", "Traceback (most recent call last):", "Human:", "Assistant:", "[truncated]", "```",
         "<tool_call>", "<solution>"]
for mark in MARKS:
    print(mark)
"\n".join(MARKS)
