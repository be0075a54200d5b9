"""What commands do. Each action gives its answer and whether it was carried out."""


def look(world):
    """Where am I?"""
    room = world["rooms"][world["place"]]
    if world["place"] == "cellar" and world["lamp"] == "dark":
        return "It is too dark to see.", False
    things = ", ".join(room["things"]) or "nothing"
    return f"{world['place']}: exits {', '.join(room['exits'])}; here is {things}.", False


def bag(world):
    """What do I carry?"""
    return f"You carry {', '.join(world['bag']) or 'nothing'}.", False


def score(world):
    """How am I doing?"""
    return f"{world['steps']} steps, {len(world['rooms']['tower']['things'])} points.", False


def go(world, direction):
    """To another room."""
    exits = world["rooms"][world["place"]]["exits"]
    if direction not in exits:
        return "There is no way.", False
    world["place"] = exits[direction]
    return f"You are in the {world['place']}.", True


def take(world, thing):
    """From the room into the bag."""
    things = world["rooms"][world["place"]]["things"]
    if world["place"] == "cellar" and world["lamp"] == "dark":
        return "It is too dark to see.", False
    if thing not in things:
        return f"There is no {thing}.", False
    things.remove(thing)
    world["bag"].append(thing)
    return f"You take the {thing}.", True


def drop(world, thing):
    """From the bag into the room."""
    if thing not in world["bag"]:
        return f"You have no {thing}.", False
    world["bag"].remove(thing)
    world["rooms"][world["place"]]["things"].append(thing)
    return f"You drop the {thing}.", True


def light(world):
    """Light the lamp."""
    if "lamp" not in world["bag"]:
        return "You have no lamp.", False
    if world["lamp"] == "burning":
        return "It burns already.", False
    world["lamp"] = "burning"
    return "The lamp burns.", True
