"""Prints the token that msal has in its serialized cache.

`python msal_client.py CACHE`; with a token and its lifetime behind that, it is put into the
cache. There is no network: msal asks for metadata whenever it starts, and gets them from here,
at once.
"""

import json
import os
import sys

import msal

AUTHORITY = "https://login.microsoftonline.com/a-tenant"
METADATA = {
    "issuer": f"{AUTHORITY}/v2.0",
    "authorization_endpoint": f"{AUTHORITY}/oauth2/v2.0/authorize",
    "token_endpoint": f"{AUTHORITY}/oauth2/v2.0/token",
}


class Answer:
    status_code = 200
    headers = {}

    def __init__(self, body):
        self.text = json.dumps(body)

    def raise_for_status(self):
        pass


class Network:
    def __init__(self, token=None):
        self.token = token

    def get(self, url, **kwargs):
        return Answer(METADATA)

    def post(self, url, **kwargs):
        if self.token is None:
            raise RuntimeError("the token is not in the cache")
        return Answer(self.token)

    def close(self):
        pass


path, *rest = sys.argv[1:]
token = None
if rest:
    token = {"access_token": rest[0], "expires_in": int(rest[1]), "token_type": "Bearer"}
cache = msal.SerializableTokenCache()
if os.path.exists(path):
    with open(path, encoding="utf-8") as file:
        cache.deserialize(file.read())
app = msal.ConfidentialClientApplication(
    "bench",
    client_credential="a secret for benchmarks",
    authority=AUTHORITY,
    instance_discovery=False,
    token_cache=cache,
    http_client=Network(token),
)
result = app.acquire_token_for_client(scopes=["https://api.test/.default"])
if cache.has_state_changed:
    with open(path, "w", encoding="utf-8") as file:
        file.write(cache.serialize())
if token is None:
    print(result["access_token"])
