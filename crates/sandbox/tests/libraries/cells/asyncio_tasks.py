import asyncio, sys
results = []
async def double(number):
    await asyncio.sleep(0.01)
    return 2 * number
results.append(await asyncio.gather(*(double(number) for number in range(3))))
# --- next cell
async def talk():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(input() * 2)",
                                                   stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate(b"ab\n")
    return out, process.returncode
results.append(await talk())
# --- next cell
async def in_thread():
    queue = asyncio.Queue()
    await asyncio.to_thread(lambda: None)
    asyncio.get_running_loop().call_soon(queue.put_nowait, "put")
    return await asyncio.wait_for(queue.get(), 10)
results.append(await in_thread())
# --- next cell
results.append(asyncio.run(in_thread()))     # not together with `await` in one cell, as in any notebook
assert results == [[0, 2, 4], (b"abab\n", 0), "put", "put"], results
print("ok")
