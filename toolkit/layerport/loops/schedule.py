from __future__ import annotations
def schedule(body, target, names):
    return body
