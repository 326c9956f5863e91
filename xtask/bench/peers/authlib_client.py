"""Prints the token that is in a JSON file, by Authlib, which fetches another once it expires.

`python authlib_client.py CACHE`; with a token and its lifetime behind that, it is put into the
file.
"""

import json
import sys
import time

from authlib.integrations.requests_client import OAuth2Session

path, *rest = sys.argv[1:]
if rest:
    expires_at = int(time.time()) + int(rest[1])
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {"access_token": rest[0], "token_type": "Bearer", "expires_at": expires_at}, file
        )
    sys.exit()
with open(path, encoding="utf-8") as file:
    token = json.load(file)
session = OAuth2Session(
    "bench",
    "a secret for benchmarks",
    token=token,
    token_endpoint="https://127.0.0.1:9/oauth/token",
)
if not session.ensure_active_token(session.token):
    sys.exit("the token is not in the cache")
print(session.token["access_token"])
