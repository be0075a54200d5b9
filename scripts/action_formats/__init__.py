"""Practice in calling tools, the same tasks written once as code, once as JSON actions and once as text actions."""
